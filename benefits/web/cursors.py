"""Cursors: where a reader stands, as opaque text. One that we did not give is refused.

The check at the end is no secret: a cursor opens nothing that its bearer could not read anyway. It
only tells a cut or mistyped cursor from a good one.
"""

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec

from benefits.domain.past import YEARS
from benefits.web.problems import CursorInvalid

Place = TypeVar("Place")
LENGTH_MAX = 400
_CHECK = 4
_FEED_YEARS = range(1970, YEARS.stop)


def _check(kind: str, content: bytes) -> bytes:
    return hashlib.blake2b(kind.encode() + b"\x00" + content, digest_size=_CHECK).digest()


def write(kind: str, place: Any) -> str:
    """Return a place in a list of some kind as text."""
    content = msgspec.msgpack.encode(place)
    return urlsafe_b64encode(content + _check(kind, content)).decode().rstrip("=")


def read(kind: str, cursor: str | None, type_: type[Place]) -> Place | None:
    """Return the place a cursor of this kind stands for, None for none (CursorInvalid)."""
    if cursor is None:
        return None
    if len(cursor) > LENGTH_MAX or not cursor.isascii():
        raise CursorInvalid
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except binascii.Error:
        raise CursorInvalid from None
    content, check = raw[:-_CHECK], raw[-_CHECK:]
    if check != _check(kind, content) or write(kind, msgspec.Raw(content)) != cursor:
        raise CursorInvalid
    try:
        place = msgspec.msgpack.decode(content, type=type_)
    except msgspec.MsgspecError:
        raise CursorInvalid from None
    if not _is_possible(place):
        raise CursorInvalid
    return place


def _is_possible(place: object) -> bool:
    """Say whether the database can compare a place: anybody can write a cursor that reads well."""
    match place:
        case datetime():
            return place.tzinfo is not None and place.year in YEARS
        case date():
            return place.year in _FEED_YEARS
        case int():
            return abs(place) <= 2**62
        case str():
            return "\x00" not in place
        case tuple():
            return all(map(_is_possible, place))
        case msgspec.Struct():
            return all(map(_is_possible, msgspec.structs.astuple(place)))
        case _:  # an id, whose bytes are all possible
            return True
