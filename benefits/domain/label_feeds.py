"""Label feeds: what a version of the label platform's list says, sealed by a manifest (S-1).

They stand as feeds of balances do (`feeds`), and count nowhere until they meet their manifest. A
line then says what a line of a label file says: of each label and first day the last word counts.
So a feed takes nothing back by leaving it out, and those that are sealed count in that order.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from benefits.domain.assets import LineInvalid
from benefits.domain.feeds import REVISION_MAX
from benefits.domain.members import LabelLine, read_label_line

VERSION = r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"


class LabelFeedKey(msgspec.Struct, frozen=True, order=True):
    """Which label feed: the version of the platform's list, and which try to send it."""

    version: Annotated[str, msgspec.Meta(pattern=VERSION)]
    revision: Annotated[int, msgspec.Meta(ge=0, le=REVISION_MAX)] = 0

    def __str__(self) -> str:
        """Write it as `labels 2025-06-30 revision 0`."""
        return f"labels {self.version} revision {self.revision}"


def read_line(row: Mapping[str, str], version: str) -> LabelLine:
    """Read one line of a feed of a version (LineInvalid: also where it says another one)."""
    line = read_label_line({**row, "version": row.get("version") or version})
    if line.version != version:
        raise LineInvalid(f"version: {line.version!r} is not the feed's")
    return line
