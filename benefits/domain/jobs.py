"""Jobs: long lists of rewards, cut into parts that are decided and committed one by one.

A row is a reward (N-2): `benefit`, which may be a choice, and `business_key`, for a `member_id` or
a `customer`, and if wanted `quantity` (1) and `valid_days` (30) or `expires_on`, the last day. In
CSV these are columns that a header names; in NDJSON each line is an object. A row that cannot be
taken is named with its line, and the rest goes on.

    line --decided------> granted | known | refused
         --member busy--> again at the end of the list, at last refused as `busy`
"""

import csv
import enum
import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import IO, Annotated
from uuid import UUID

import msgspec

from benefits.domain import assets
from benefits.domain.assets import FileUnreadable, LineInvalid
from benefits.domain.units import Asked

LINE_BYTES_MAX = 8192
PART_LINES = 1000  # decided together, under one commit: well below a second on an idle machine
VALID_DAYS = 30
COLUMNS = ("benefit", "business_key", "member_id", "customer")
OPTIONAL = ("quantity", "valid_days", "expires_on")
_STRANGE = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_REST = 2**16


class Format(enum.Enum):
    """How the rows of a list are written."""

    CSV = "csv"
    NDJSON = "ndjson"


class Ending(enum.Enum):
    """What became of a row: its units are new, were given before, or are not given."""

    GRANTED = "granted"
    KNOWN = "known"
    REFUSED = "refused"


class GrantLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row: a reward for a member, whom our id or the bank's reference names."""

    benefit: str
    business_key: Annotated[
        str, msgspec.Meta(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f\x7f]+\Z")
    ]
    member_id: UUID | None = None
    customer: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    quantity: Asked = 1
    valid_days: int | None = None
    expires_on: date | None = None

    def __post_init__(self) -> None:
        """Refuse a row that names two members or none, or two ends."""
        if (self.member_id is None) == (self.customer is None):
            msg = "one of member_id and customer is needed"
            raise ValueError(msg)
        if self.valid_days is not None and self.expires_on is not None:
            msg = "only one of valid_days and expires_on can hold"
            raise ValueError(msg)


class Part(msgspec.Struct, frozen=True):
    """Numbered raw lines of a list, the columns of a CSV, and how often they were tried."""

    lines: list[tuple[int, bytes]]
    header: tuple[str, ...] | None = None
    tries: int = 0


_JSON = msgspec.json.Decoder(GrantLine)


def read_parts(file: IO[bytes], format_: Format) -> Iterator[Part]:
    """Cut a list into parts; FileUnreadable when a CSV has no header that can be taken.

    A line that is too long comes cut, so that it is refused alone.
    """
    numbered = _numbered(file)
    header = None
    if format_ is Format.CSV:
        header = _header(next(numbered, (1, b""))[1])
    lines = list[tuple[int, bytes]]()
    for number, line in numbered:
        if line.strip():
            lines.append((number, line))
        if len(lines) == PART_LINES:
            yield Part(lines, header)
            lines = []
    if lines:
        yield Part(lines, header)


def _numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        rest = line
        while len(rest) > 0 and not rest.endswith(b"\n"):
            rest = file.readline(_REST)
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _header(line: bytes) -> tuple[str, ...]:
    try:
        names = tuple(_values(line))
    except LineInvalid:
        names = ()
    if not names:
        raise FileUnreadable("The file is empty, or its first line is not CSV in UTF-8.")
    assets.check_header(names, COLUMNS[:2], (*COLUMNS[2:], *OPTIONAL))
    if not set(COLUMNS[2:]) & set(names):
        raise FileUnreadable("The header lacks: member_id or customer.")
    return names


def read_line(line: bytes, header: Sequence[str] | None) -> GrantLine:
    """Read one row; LineInvalid says what is wrong with it, never what it says."""
    if len(line) > LINE_BYTES_MAX:
        raise LineInvalid(f"the line is longer than {LINE_BYTES_MAX} bytes")
    try:
        if header is None:
            return _JSON.decode(line)
        values = _values(line)
        if len(values) != len(header):
            raise LineInvalid("the line has another number of columns than the header")
        given = {name: text for name, text in zip(header, values, strict=True) if text}
        return msgspec.convert(given, GrantLine, strict=False)
    except msgspec.ValidationError as error:
        raise LineInvalid(_told(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LineInvalid("the line is not JSON in UTF-8") from None


def _told(words: str) -> str:
    """Return a validator's words with the field in front, as other refusals have it."""
    what, _, where = words.partition(" - at `$.")
    field = where.rstrip("`")
    if field == "quantity":
        what = "expected a quantity like `1` or `0.5`"
    return f"{field}: {what[:1].lower()}{what[1:]}" if field else what


def _values(line: bytes) -> list[str]:
    try:
        text = line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        raise LineInvalid("the line holds bytes that are not UTF-8") from None
    if _STRANGE.search(text):
        raise LineInvalid("the line holds control characters")
    if '"' not in text:  # then the reader does nothing else, and takes five times as long
        return [value.strip() for value in text.split(",")] if text else []
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise LineInvalid(f"the line is not CSV: {error}") from None
