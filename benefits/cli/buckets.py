"""Ranges of buckets as one types them: how work is split over processes."""

import rich_click as click

from benefits.domain.values import BUCKETS

EVERY = f"0-{BUCKETS - 1}"


def bucket_range(text: str) -> tuple[int, int]:
    """Read `0-511` (BadParameter)."""
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < BUCKETS):
        raise click.BadParameter(f"write it like {EVERY}", param_hint="--buckets")
    return int(first), int(last)
