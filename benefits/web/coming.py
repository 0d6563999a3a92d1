"""What versions of programmes that are to begin change for a member, as the API shows it (U-1)."""

from datetime import date

import msgspec

from benefits.actions.look_up import Seen
from benefits.domain.coming import What


class ComingView(msgspec.Struct, kw_only=True):
    """A change to come, from a day on, in words; `code` is a benefit's, a choice's or a tier's.

    It `is_worse` where members have to be told of it before it holds.
    """

    programme: str
    begins_on: date
    what: What
    code: str
    is_worse: bool
    words: dict[str, str]


def coming_views(seen: Seen) -> list[ComingView]:
    """Return what changes for a member by all versions to come, in their order."""
    return [ComingView(**msgspec.structs.asdict(each)) for each in seen.coming]
