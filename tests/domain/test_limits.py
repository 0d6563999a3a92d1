"""Limits by themselves: windows, room and its return, budgets as a tree, what a file may say."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import limits
from benefits.domain.entitlement import CapReached, ClaimCommand, ClaimFacts, CounterUse, claim
from benefits.domain.labels import LabelAsked, Layer
from benefits.domain.limits import (
    CapWindow,
    Counted,
    Dimension,
    Left,
    Limit,
    OnFull,
    Room,
    Scope,
    coarse,
    fits,
    full,
    instant_key,
    opens,
    passed,
    place,
    rolling_room,
    room,
    window_end,
    window_key,
)
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.recurring import Missing, Recurring, Weekday, falls_on
from benefits.domain.values import EPOCH
from tests.builders import NOON, PROGRAMME, reference_programme

CHINA = ZoneInfo("Asia/Shanghai")
WEEKLY = Limit(code="weekly", scope=Scope.MEMBER, limit=Decimal(2), days=7)
MONTHLY = Limit(code="monthly", scope=Scope.MEMBER, limit=Decimal(2), window=CapWindow.MONTH)


@given(st.dates(date(1900, 1, 1), date(2999, 12, 30)), st.sampled_from(CapWindow))
def test_a_window_holds_its_days_and_no_other(day: date, window: CapWindow) -> None:
    """From a day to the end of its window the key is the same, and another on the end (K-3)."""
    end = window_end(window, day)
    if end is None:
        assert "all" == window_key(window, day)
        return
    assert window_key(window, day) == window_key(window, end - timedelta(days=1))
    assert window_key(window, day) != window_key(window, end)


def test_weeks_begin_with_their_monday() -> None:
    """The last days of a year may lie in the first week of the next."""
    assert "2025-W01" == window_key(CapWindow.WEEK, date(2024, 12, 30))
    assert "2024-W52" == window_key(CapWindow.WEEK, date(2024, 12, 29))
    assert date(2025, 1, 6) == window_end(CapWindow.WEEK, date(2024, 12, 30))
    assert "2025-07-02" == window_key(CapWindow.DAY, date(2025, 7, 2))


INSTANTS = st.integers(0, 10**17).map(lambda us: EPOCH + timedelta(microseconds=us))


@given(INSTANTS, INSTANTS)
def test_events_are_ordered_as_their_keys(one: datetime, other: datetime) -> None:
    """What is later in time is later as a text, to the microsecond (K-7)."""
    assert (one < other) is (instant_key(one) < instant_key(other))
    assert one == datetime.fromisoformat(instant_key(one))


@given(st.integers(0, 40), st.integers(1, 7), st.integers(0, 900))
def test_a_piece_counts_while_any_of_its_units_does(units: int, piece: int, cost: int) -> None:
    """Given back one by one, every piece comes back once, with its cost (K-5)."""
    pieces = [Counted(n, piece, cost).of(Dimension.COUNT) for n in range(units, -1, -1)]
    back = [before - after for before, after in pairwise(pieces)]
    assert set(back) <= {0, 1}
    assert pieces[0] == sum(back) == -(-units // piece)
    assert pieces[0] * cost == Counted(units, piece, cost).of(Dimension.COST)


def _room(used: int, **how: Any) -> Room:
    limit = msgspec.structs.replace(MONTHLY, **how)
    spot = place(limit, NOON, NOON.date(), programme="wealth")
    return room(limit, spot, 2, used, day=NOON.date(), zone=CHINA)


def test_room_is_used_to_the_last_piece_and_told_when_it_opens() -> None:
    """What is refused says when there is room again, if its limit lets it."""
    assert (True, False) == (_room(1).has(1), _room(1).has(2))
    assert _room(9).has(0)
    assert _room(2).opens(1) is None
    told = _room(2, on_full=OnFull.NEXT_WINDOW)
    assert datetime(2025, 7, 31, 16, tzinfo=UTC) == told.opens(1)
    assert told.opens(3) is None
    ever = _room(2, on_full=OnFull.NEXT_WINDOW, window=CapWindow.LIFETIME)
    assert ever.opens(1) is None


def test_a_rolling_window_opens_with_the_event_that_leaves_it() -> None:
    """Two of three leave one after the other; for two pieces both must."""
    limit = msgspec.structs.replace(WEEKLY, on_full=OnFull.NEXT_WINDOW)
    at = [NOON - timedelta(days=n) for n in (5, 3)]
    spot = place(limit, NOON, NOON.date(), programme="wealth")
    full = rolling_room(limit, spot, 2, [(instant_key(t), 1) for t in at])
    assert not full.has(1)
    assert at[0] + timedelta(days=7) == full.opens(1)
    assert at[1] + timedelta(days=7) == full.opens(2)


def test_room_opens_once_every_place_that_is_full_has_some() -> None:
    """The year is full as well as the month; and what never opens, or is not told, tells none."""
    month = _room(2, on_full=OnFull.NEXT_WINDOW)
    year = _room(2, on_full=OnFull.NEXT_WINDOW, window=CapWindow.YEAR)
    new_year = datetime(2025, 12, 31, 16, tzinfo=UTC)
    assert new_year == opens([(month, 1), (year, 1)]) == opens([(year, 1), (month, 1)])
    assert opens([(month, 1), (_room(2), 1)]) is None
    facts = ClaimFacts(
        today=NOON.date(),
        closed=False,
        lots=(),
        piece=1,
        cap_limit=None,
        cap_used=0,
        stock=CounterUse(),
        budget=CounterUse(),
        budget_total=0,
        piece_cost=0,
        rooms=(month, year),
    )
    command = ClaimCommand(quantity=1, recipient={"phone": "13800000001"})
    refusal = claim(command, reference_programme().benefits["VIDEO"], facts, NOON)
    assert isinstance(refusal, CapReached)
    assert new_year.isoformat() in refusal.detail
    piece = Counted(units=1, piece=1, piece_cost=10)
    free = _room(1, on_full=OnFull.NEXT_WINDOW)
    assert [(month, 1), (year, 1)] == full([month, free, year], piece)


Events = list[tuple[int, int]]
EVENTS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 2)), max_size=8)


@given(EVENTS, st.integers(0, 40), st.integers(1, 3))
def test_what_was_taken_back_fits_in_again_only_where_every_window_has_room(
    events: Events, then: int, wanted: int
) -> None:
    """It does exactly if no window of W over it would hold more than the limit (K-7)."""
    most, days = 4, 7
    told = [(instant_key(NOON + timedelta(days=day)), amount) for day, amount in events]
    every = [*events, (then, wanted)]
    holds = all(
        sum(amount for day, amount in every if end - days < day <= end) <= most
        for end in range(then, then + days)
    )
    at = instant_key(NOON + timedelta(days=then))
    assert holds is fits(told, at, wanted, most=most, days=days)


@pytest.mark.timeout(20)
def test_what_was_taken_back_is_weighed_among_as_many_events_as_a_bank_has() -> None:
    """Once for each event, not for each pair of them: under the lock others wait for (K-7)."""
    told = [(instant_key(NOON + timedelta(seconds=n)), 1) for n in range(100_000)]
    last = told[-1][0]
    assert fits(told, told[0][0], 1, most=100_001, days=7)
    assert not fits(told, last, 1, most=100_000, days=7)


@pytest.mark.parametrize(
    ("taken", "left"), [(0, Left.PLENTY), (89, Left.PLENTY), (90, Left.FEW), (100, Left.NONE)]
)
def test_what_is_left_is_told_coarsely(taken: int, left: Left) -> None:
    """A tenth or less is few; nobody is told how many (K-8)."""
    assert left is coarse(taken, 100)


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from([0, 80, 95, 100]))
def test_a_threshold_is_passed_when_so_much_is_taken(taken: int, total: int, told: int) -> None:
    """Those above what was told, each once it is reached; a total of nothing has none (K-4)."""
    expected = [p for p in (80, 95, 100) if p > told and total and taken / total >= p / 100]
    assert expected == list(passed(taken, total, told))


def test_limits_are_asked_from_the_member_outwards() -> None:
    """Whatever their order in the file (K-2)."""
    some = [
        Limit(code=scope.value, scope=scope, limit=Decimal(1), window=CapWindow.DAY)
        for scope in reversed(Scope)
    ]
    programme = msgspec.structs.replace(reference_programme(), limit=tuple(some))
    assert list(Scope) == [limit.scope for limit in programme.limits["VIDEO"]]


LIMIT = '\n[[limit]]\ncode = "a"\nscope = "MEMBER"\nlimit = "2"\nwindow = "MONTH"\n'


def _changed(*swaps: tuple[str, str], more: str = LIMIT) -> str:
    text = PROGRAMME + more
    for before, after in swaps:
        assert before in text
        text = text.replace(before, after)
    return text


def _rolling(scope: str, on_full: str) -> tuple[str, str]:
    before = LIMIT.partition("scope")[2]
    return before, f' = "{scope}"\nlimit = "2"\ndays = 3\non_full = "{on_full}"\n'


def _of(segment: str, scope: str = "SEGMENT") -> tuple[str, str]:
    return ('scope = "MEMBER"', f'scope = "{scope}"\nsegment = {segment}')


def test_a_counter_is_of_all_that_decides_what_it_adds_up() -> None:
    """Of another programme, scope, dimension or kind of window it is another one (K-1)."""
    labelled = LabelAsked(label="payroll", layer=Layer.FACT)
    found = [
        place(limit, NOON, NOON.date(), programme=programme, of=of).counter
        for limit, programme, of in (
            (MONTHLY, "wealth", ""),
            (MONTHLY, "other", ""),
            (msgspec.structs.replace(MONTHLY, dimension=Dimension.COST), "wealth", ""),
            (msgspec.structs.replace(MONTHLY, scope=Scope.BRANCH), "wealth", "north"),
            (msgspec.structs.replace(MONTHLY, scope=Scope.SEGMENT), "wealth", labelled.key),
            (msgspec.structs.replace(MONTHLY, window=None, days=7), "wealth", ""),
        )
    ]
    assert [
        "limit:wealth:monthly:MEMBER:COUNT",
        "limit:other:monthly:MEMBER:COUNT",
        "limit:wealth:monthly:MEMBER:COST",
        "limit:wealth:monthly:BRANCH:COUNT:north",
        "limit:wealth:monthly:SEGMENT:COUNT:FACT:payroll",
        "limit:wealth:monthly:MEMBER:COUNT:ROLLING",
    ] == found


@given(
    st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    st.sampled_from(
        [
            Recurring(day=18),
            Recurring(day=31),
            Recurring(last_day=True),
            Recurring(weekday=Weekday.SATURDAY, nth=5),
        ]
    ),
)
def test_a_window_lasts_from_one_recurring_day_to_the_next(day: date, on: Recurring) -> None:
    """Its key is its first day, which is one; the day after its last is the next one (P-10)."""
    limit = Limit(code="day", scope=Scope.PROGRAMME, limit=Decimal(1), on=on)
    key, end = limit.key_at(day), limit.end_at(day)
    first = date.fromisoformat(key.removeprefix("since-"))
    assert end is not None
    days = [first + timedelta(days=n) for n in range((end - first).days)]
    assert day in days
    assert [first] == [each for each in days if falls_on(on, Missing.SKIP, each)]
    assert falls_on(on, Missing.SKIP, end)
    assert {key} == {limit.key_at(each) for each in days}
    kept = place(limit, NOON, day, programme="wealth")
    assert (key, False) == (kept.window, kept.is_instant)


def test_a_file_says_its_limits() -> None:
    """A limit of the calendar, and one of the last days."""
    programme = read(
        _changed(more=LIMIT + LIMIT.replace('"a"', '"b"').replace('window = "MONTH"', "days = 7"))
    )
    assert [("a", 0), ("b", 7)] == [(limit.code, limit.days) for limit in programme.limit]


@pytest.mark.parametrize(
    ("swap", "told"),
    [
        (('window = "MONTH"\n', ""), "limit[0].window"),
        (('window = "MONTH"\n', 'window = "MONTH"\ndays = 3\n'), "limit[0].window"),
        (('window = "MONTH"\n', "days = 3\non = { day = 18 }\n"), "limit[0].window"),
        (('window = "MONTH"\n', "on = { day = 18, last_day = true }\n"), "limit[0].on"),
        (('window = "MONTH"\n', 'window = "MONTH"\nmissing = "LAST_DAY"\n'), "limit[0].missing"),
        (_rolling("PERSON", "NEXT_WINDOW"), "limit[0].on_full: of a rolling window of many"),
        (_rolling("PROGRAMME", "WAITLIST"), "limit[0].on_full: of a rolling window of many"),
        (('scope = "MEMBER"', 'scope = "SEGMENT"'), "limit[0].segment"),
        (_of('{ label = "payroll", layer = "FACT" }', "MEMBER"), "limit[0].segment: stands"),
        (_of('"FACT:payroll"'), "`$.limit[0].segment`"),
        (_of('{ label = "churn", layer = "MODEL" }'), "limit[0].segment.layer: a MODEL label"),
        (_of('{ label = " ", layer = "FACT" }'), "`$.limit[0].segment.label`"),
        (_of('{ label = "a ", layer = "FACT" }'), "`$.limit[0].segment.label`"),
        (_of('{ label = "a\\u0000", layer = "FACT" }'), "`$.limit[0].segment.label`"),
        (('limit = "2"', 'limit = "2.5"'), "limit[0].limit"),
        (('limit = "2"', 'limit = "-1"'), "limit[0].limit"),
        (('limit = "2"', 'limit = "0.001"\ndimension = "COST"'), "limit[0].limit"),
        (('scope = "MEMBER"', 'scope = "MEMBER"\nbenefits = ["VIDEOS"]'), "limit[0].benefits"),
        (("\n[[limit]]", LIMIT + "\n[[limit]]"), "limit[1].code"),
        (('code = "a"', 'code = "a:b"'), "code"),
    ],
)
def test_a_file_contradicts_no_limit(swap: tuple[str, str], told: str) -> None:
    """Whatever is wrong is named by its path."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(_changed(swap))
    assert told in refused.value.detail


def _budgets(*lines: str) -> str:
    more = "".join(f"\n[[budget]]\n{line}\n" for line in lines)
    return _changed(
        (
            'code = "lounge"\ntotal = "10000.00"',
            'code = "lounge"\ntotal = "10000.00"\nparent = "b"',
        ),
        more=more,
    )


def test_a_budget_is_borne_by_all_above_it() -> None:
    """Head office, branch, and the budget itself, the nearest first (K-4)."""
    programme = read(
        _budgets('code = "b"\ntotal = "20000"\nparent = "h"', 'code = "h"\ntotal = "50000"')
    )
    assert ("lounge", "b", "h") == programme.bearers["lounge"]
    assert ("video",) == programme.bearers["video"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['code = "c"\ntotal = "1"'], "budget[0].parent: 'b' is not defined"),
        (['code = "b"\ntotal = "9999.99"'], "budget[2].total"),
        (['code = "b"\ntotal = "20000"\nparent = "lounge"'], "budget[0].parent"),
        (['code = "b"\ntotal = "20000"\nparent = "b"'], "budget[2].parent"),
        (
            ['code = "b"\ntotal = "20000"', 'code = "c"\ntotal = "10000.01"\nparent = "b"'],
            "budget[2].total",
        ),
        (
            [
                'code = "b"\ntotal = "20000"',
                'code = "c"\ntotal = "9e999999999999999999"\nparent = "b"',
                'code = "d"\ntotal = "9e999999999999999999"\nparent = "b"',
            ],
            "budget[3].total: 9E+999999999999999999 is too large",
        ),
    ],
)
def test_children_have_no_more_than_their_parent(lines: list[str], told: str) -> None:
    """A tree, in which those below one together fit into it; else the path is named (K-4)."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(_budgets(*lines))
    assert told in refused.value.detail


def test_a_contract_ends_where_it_is_said_to() -> None:
    """Lead days need an end; units of several uses last as long as the last of them (V-6)."""
    ends = 'sku = "video-month"\nlead_days = 3'
    with pytest.raises(ProgrammeInvalid) as refused:
        read(_changed(('sku = "video-month"', ends)))
    assert "benefit[1].lead_days" in refused.value.detail
    for day in ("9999-12-31", "0001-01-05"):
        far = f'sku = "video-month"\ncontract_end = {day}\nlead_days = 300'
        with pytest.raises(ProgrammeInvalid, match=r"benefit\[1\]\.contract_end: must lie in"):
            read(_changed(('sku = "video-month"', far)))
    programme = read(_changed(('sku = "video-month"', f"{ends}\ncontract_end = 2025-10-31")))
    video = programme.benefits["VIDEO"]
    assert (date(2025, 10, 28), date(2025, 10, 31)) == (
        video.last_claim,
        programme.contract_end(video),
    )
    rail = msgspec.structs.replace(video, code="RAIL", draws="VIDEO", contract_end=None)
    both = msgspec.structs.replace(programme, benefit=(*programme.benefit, rail))
    assert both.contract_end(video) is None
    assert limits.WHENEVER == window_key(CapWindow.LIFETIME, NOON.date())


RAIL = """
[[benefit]]
code = "RAIL"
name = { zh = "铁路", en = "Rail" }
kind = "BOOKING"
provider = "sandbox"
sku = "rail"
cost = "80.00"
consumed = "USE"
budget = "lounge"
"""
FOLLOWED = 'sku = "lounge-visit"\ncontract_end = 2025-10-31\nlead_days = 3\nreplacement = "RAIL"'


def _followed(more: str = "", lounge: str = FOLLOWED) -> str:
    return _changed(('sku = "lounge-visit"', lounge)) + RAIL + more


@pytest.mark.parametrize(
    ("lounge", "rail", "told"),
    [
        (FOLLOWED.replace('"RAIL"', '"RAIN"'), "", "'RAIN' is not defined; did you mean 'RAIL'?"),
        (
            FOLLOWED,
            'contract_end = 2026-01-01\nreplacement = "LOUNGE"',
            "'LOUNGE' would replace itself in the end",
        ),
        ('sku = "lounge-visit"\nreplacement = "RAIL"', "", "stands with a contract_end"),
        (FOLLOWED, "takes = 2", "a piece of 'RAIL' takes other units"),
        (f'{FOLLOWED}\nexclusion = "gift"', "", "'RAIL' must be of its exclusion group, too"),
        (FOLLOWED, "scale = 1", "a piece of 'RAIL' takes other units"),
        (FOLLOWED, "contract_end = 2025-10-31", "'RAIL' can be claimed through 2025-10-31"),
        (FOLLOWED, "claim_from = 2025-10-30", "must be there to be claimed from 2025-10-29 on"),
        (f"{FOLLOWED}\nclaim_until = 2025-09-30", "", "claims end on 2025-09-30 for good"),
    ],
)
def test_a_replacement_goes_on_where_a_contract_ends(lounge: str, rail: str, told: str) -> None:
    """Piece for piece, without a gap, longer, and never in a circle; else its path says so."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(_followed(rail, lounge))
    assert any(
        line.startswith("benefit[0].replacement: ") and told in line
        for line in refused.value.detail.splitlines()
    )


def test_units_last_as_long_as_the_last_that_replaces_their_benefit() -> None:
    """One after the other; each serves from the day after the last claim before it (V-6)."""
    bus = RAIL.replace('"RAIL"', '"BUS"')
    more = f'contract_end = 2025-12-31\nlead_days = 1\nreplacement = "BUS"\n{bus}'
    made = read(_followed(f"{more}contract_end = 2026-06-30"))
    lounge = made.benefits["LOUNGE"]
    assert date(2026, 6, 30) == made.contract_end(lounge)
    days = {(2025, 10, 28): "LOUNGE", (2025, 10, 29): "RAIL", (2025, 12, 30): "RAIL"}
    days |= {(2025, 12, 31): "BUS", (2027, 1, 1): "BUS"}
    assert days == {day: made.serving(lounge, date(*day)).code for day in days}
    assert read(_followed(f"{more}")).contract_end(lounge) is None
    assert 8000 == made.step_cost(lounge)
