"""Labels: what the label platform says of a member, with layer and valid time (S-1, S-2)."""

import enum
from collections.abc import Iterable
from datetime import date

import msgspec


class Layer(enum.Enum):
    """Where a label comes from; a MODEL label may rank but never decide money (S-2)."""

    FACT = "FACT"
    RULE = "RULE"
    MODEL = "MODEL"


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
