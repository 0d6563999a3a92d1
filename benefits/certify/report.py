"""What a certification found: a verdict for each check, and the report that a program reads.

No finding shows a secret, a recipient or a code; of an order its number.
"""

import enum
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from benefits.domain.orders import (
    Done,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
    Used,
    redacted,
)
from benefits.domain.programme import Provider

VERSION: Literal[1] = 1


class Verdict(enum.Enum):
    """What became of a check."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    SKIPPED = "SKIPPED"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check promises, and what was seen; `orders` are the numbers it used."""

    check: str
    verdict: Verdict
    promise: str
    seen: str
    orders: tuple[str, ...] = ()
    seconds: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole certification, as `--json` writes it; `version` changes when a field does."""

    version: Literal[1] = VERSION
    product: str
    dialect: str
    provider: str
    url: str
    capabilities: dict[str, Any]
    began_at: datetime
    ended_at: datetime
    passed: bool
    findings: tuple[Finding, ...]


def passed(findings: tuple[Finding, ...]) -> bool:
    """Say whether nothing failed, and something held."""
    verdicts = {one.verdict for one in findings}
    return Verdict.PASS in verdicts and Verdict.FAIL not in verdicts


def shown_url(config: Provider) -> str:
    """Return a provider's address without what could be secret in it."""
    parts = urlsplit(config.url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def told(outcome: Outcome) -> str:
    """Say in words what an answer says; of what the provider wrote, nothing of a person."""
    match outcome:
        case Unknown(evidence) | NotSent(evidence):
            name = "unknown" if isinstance(outcome, Unknown) else "not sent"
            return f"{name} ({redacted(evidence)})"
        case Rejected(reason):
            return f"rejected ({reason.value})"
        case _:
            return str(outcome.__struct_config__.tag).replace("_", " ")


def difference(first: Outcome, then: Outcome) -> str:
    """Say how two answers about one order differ; empty when they say the same.

    Of a delivery its instant may be told to the second, or as that of the answer; of a use it is
    what orders all news of uses, and stays.
    """
    if type(first) is not type(then):
        return f"{told(first)}, then {told(then)}"
    match first, then:
        case Done(), Done() if first.reference != then.reference:
            return "another reference"
        case Done(), Done() if first.code != then.code:
            return "another code"
        case Done(), Done() if first.delivered != then.delivered:
            return "other pieces"
        case Used(), Used() if first.at != then.at:
            return "used at another instant"
        case Rejected(), Rejected() if first.reason is not then.reason:
            return f"{told(first)}, then {told(then)}"
        case _:
            return ""
