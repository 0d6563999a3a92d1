"""Labels: what the label platform says of a member, with layer and valid time (S-1, S-2)."""

import enum
import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated

import msgspec

# What the label platform's files can say: printable, without space around it.
NAME = r"\A(?! )[^\x00-\x1f\x7f]{1,64}(?<! )\Z"


class Layer(enum.Enum):
    """Where a label comes from; a MODEL label may rank but never decide money (S-2).

    The platform tells of all but LIST, which is carried by whoever is on a whitelist (P-2).
    """

    FACT = "FACT"
    RULE = "RULE"
    MODEL = "MODEL"
    LIST = "LIST"


# Those that the bank's files of customers and labels may name.
TOLD = tuple(layer.value for layer in Layer if layer is not Layer.LIST)


class Label(msgspec.Struct, frozen=True):
    """A label a member carries on the days `[from_, to)`; `to` None means until further notice."""

    name: str
    layer: Layer
    from_: date
    to: date | None

    @property
    def key(self) -> str:
        """What a programme asks for: the layer and the name."""
        return label_key(self.layer, self.name)


def label_key(layer: Layer, name: str) -> str:
    """Write a label with its layer, as `FACT:payroll`: of two layers it is two labels."""
    return f"{layer.value}:{name}"


class LabelAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A label that a programme asks for, of one layer."""

    label: Annotated[str, msgspec.Meta(pattern=NAME)]
    layer: Layer

    @property
    def key(self) -> str:
        """The label with its layer, as members carry it."""
        return label_key(self.layer, self.label)


def is_label_name(name: str) -> bool:
    """Say whether a member could carry a label of that name."""
    return re.fullmatch(NAME, name) is not None


def label_name(key: str) -> str:
    """Return the name of a label that is written with its layer."""
    return key.partition(":")[2]


def held(labels: Iterable[Label], day: date) -> frozenset[str]:
    """Return the keys of the labels that are valid on a day."""
    return frozenset(
        label.key
        for label in labels
        if label.from_ <= day and (label.to is None or day < label.to)
    )
