"""Codes that were bought in advance: what a file of them holds, what members see (V-1).

A code's text is the code itself; where it has a PIN, that follows behind a tab. Several codes of a
claim stand one a line. Nothing but the reading of a line and the showing to its member ever holds
a text in the clear.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec

from benefits.domain.assets import LineInvalid, read_date
from benefits.domain.values import YEARS

REQUIRED = ("code",)
OPTIONAL = ("pin", "expires_on")
CODE_MAX = 256
NAME = r"\A[\w.-]{1,64}\Z"
_LABEL = b"benefits.code:"


class CodeLine(msgspec.Struct, frozen=True):
    """A line of a file of codes; without an end of its own it has the file's."""

    text: str
    expires_on: date | None


class Piece(msgspec.Struct, frozen=True):
    """A code as its member sees it, with its PIN where it has one."""

    code: str
    pin: str = ""


def read_line(row: Mapping[str, str], today: date, expires_on: date | None) -> CodeLine:
    """Read a line; LineInvalid says which field is wrong and why, and shows none."""
    code, pin = row["code"].strip(), row.get("pin", "").strip()
    _check("code", code, least=1)
    _check("pin", pin, least=0)
    ends = row.get("expires_on", "")
    try:
        last = read_date(ends, "expires_on") if ends else expires_on
    except LineInvalid:  # its words show what stands there, be it a code
        raise LineInvalid("expires_on: is not a date such as 2026-06-30") from None
    if last is not None and last.year not in YEARS:
        raise LineInvalid(f"expires_on: lies in none of the years to {YEARS[-1]}")
    if last is not None and last < today:
        raise LineInvalid("expires_on: has passed")
    return CodeLine(f"{code}\t{pin}" if pin else code, last)


def _check(field: str, value: str, *, least: int) -> None:
    if not least <= len(value) <= CODE_MAX or not value.isprintable():
        raise LineInvalid(f"{field}: must have {least} to {CODE_MAX} printable characters")


def hash_of(provider: str, text: str, key: bytes) -> bytes:
    """Return what tells whether a provider's code is in stock already, whatever its PIN."""
    code = text.partition("\t")[0]
    return hmac.digest(key, _LABEL + provider.encode() + b"\0" + code.encode(), "sha256")


def together(texts: Iterable[str]) -> str:
    """Return the texts of a claim's codes as one."""
    return "\n".join(texts)


def pieces(text: str) -> Sequence[Piece]:
    """Return the codes of a claim's text."""
    return [Piece(*line.split("\t", 1)) for line in text.split("\n")]
