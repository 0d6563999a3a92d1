"""Days that a freeze adds to the ends of units, and which blocks are one freeze (E-6)."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.blocks import Block, Frozen, Scope, Why, frozen, later

ZONE = ZoneInfo("Asia/Shanghai")
FIRST = datetime(2025, 6, 30, 16, tzinfo=UTC)  # midnight of 1 July in Shanghai
DAY = timedelta(days=1)


def freeze(nth: int, begin: int, end: int | None, why: Why = Why.LEGAL_FREEZE) -> Block:
    """Return a block from one hour to another."""
    return Block(
        block_id=UUID(int=nth),
        scope=Scope.ALL,
        target="",
        why=why,
        from_at=FIRST + timedelta(hours=begin),
        until=None if end is None else FIRST + timedelta(hours=end),
    )


def hours(*each: tuple[int, int]) -> list[Frozen]:
    """Return times from one hour to another."""
    return [Frozen(FIRST + timedelta(hours=a), FIRST + timedelta(hours=b)) for a, b in each]


def test_what_was_frozen_without_a_break_is_one_time_and_ends_with_its_last() -> None:
    """Each is told with one of its blocks, whichever are lifted together."""
    blocks = [freeze(1, 0, 48), freeze(2, 24, 72), freeze(3, 72, 72 + 1), freeze(4, 100, 110)]
    blocks += [freeze(5, 105, 110), freeze(6, 0, 500, Why.FRAUD), freeze(7, 200, None)]
    told = {n: frozen(blocks, {UUID(int=n)}) for n in range(1, 8)}
    assert hours((0, 73)) == told[3]
    assert hours((100, 110)) == told[4]
    assert [] == [*told[1], *told[2], *told[5], *told[6], *told[7]]


spans = st.tuples(st.integers(0, 400), st.integers(1, 200)).map(lambda one: (one[0], sum(one)))


@given(st.lists(spans, min_size=1, max_size=6), st.randoms())
def test_every_hour_of_a_freeze_is_of_one_time(
    each: list[tuple[int, int]], chance: Random
) -> None:
    """Whatever freezes overlap, and in whatever order they are lifted, one by one."""
    blocks = [freeze(n, begin, end) for n, (begin, end) in enumerate(each)]
    order = [block.block_id for block in blocks]
    chance.shuffle(order)
    times = [time for id_ in order for time in frozen(blocks, {id_})]
    assert times == list(dict.fromkeys(times))
    stopped = {hour for begin, end in each for hour in range(begin, end)}
    told = [
        hour
        for time in times
        for hour in range((time.begin - FIRST) // timedelta(hours=1), 1000)
        if FIRST + timedelta(hours=hour) < time.end
    ]
    assert sorted(stopped) == sorted(told)


@given(
    st.integers(1, 60),
    st.integers(-100, 900),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=4),
)
def test_days_are_added_as_they_are_counted_one_by_one(
    life: int, since: int, gaps: list[tuple[int, int]]
) -> None:
    """The oracle goes hour by hour: a day more for every 24 hours of one freeze that are begun."""
    at, each = 0, list[tuple[int, int]]()
    for gap, length in gaps:
        each.append((at + gap + 1, at + gap + 1 + length))
        at = each[-1][1]
    end = life * 24
    for begin, until in each:
        frozen_hours, is_there = 0, max(begin, since) < end
        for hour in range(begin, until):
            if hour >= since and is_there:
                end += 24 if frozen_hours % 24 == 0 else 0
                frozen_hours += 1
    ends = later(FIRST + life * DAY, FIRST + timedelta(hours=since), hours(*each), ZONE)
    assert FIRST + timedelta(hours=end) == ends


def test_the_end_stays_at_local_midnight() -> None:
    """C-4: over the days on which clocks are changed, too."""
    zone = ZoneInfo("America/New_York")
    end = datetime(2025, 3, 9, 5, tzinfo=UTC)  # midnight, the day of 23 hours follows
    time = Frozen(datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 3, tzinfo=UTC))
    assert datetime(2025, 3, 11, 4, tzinfo=UTC) == later(end, FIRST - 400 * DAY, [time], zone)
