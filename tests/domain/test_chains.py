"""Days that stand on each other: what a feed changes is what counting each day anew would."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.chains import Chain, Link, chain, stands_on
from benefits.domain.feeds import FeedKind

FIRST = date(2025, 6, 1)
DAYS = 8
Lines = dict[tuple[date, int], dict[str, int]]
BALANCES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9))


def _link(nth: int, kind: FeedKind, revision: int = 0) -> Link:
    return Link(as_of=FIRST + timedelta(days=nth), revision=revision, kind=kind)


def _balances(links: list[Link], lines: Lines) -> dict[date, dict[str, int]]:
    """Return what each day counts, one after the other."""
    found = dict[date, dict[str, int]]()
    for link in links:
        own = lines[link.as_of, link.revision]
        before = found.get(link.as_of - timedelta(days=1), {})
        found[link.as_of] = own if link.kind is FeedKind.FULL else before | own
    return found


def _held(links: list[Link], lines: Lines, made: Chain) -> dict[str, int]:
    """Return what lines come to that count from their day to their key's next, as sums move."""
    found = dict[str, int]()
    for nth, link in enumerate(links):
        for key, balance in lines[link.as_of, link.revision].items():
            later = [o.as_of for o in links[nth + 1 :] if key in lines[o.as_of, o.revision]]
            until = later[0] if later else made.past
            days = (min(until, made.past) - max(link.as_of, made.day)).days
            found[key] = found.get(key, 0) + balance * max(days, 0)
    return found


@given(st.data())
def test_a_feed_moves_sums_by_what_its_days_come_to(data: st.DataObject) -> None:
    """A-2: a new day or another revision of one, FULL or DELTA, with days behind it or none."""
    count = data.draw(st.integers(0, DAYS))
    kinds = [FeedKind.FULL, *(data.draw(st.sampled_from(FeedKind)) for _ in range(count))]
    counting = [_link(nth, kind) for nth, kind in enumerate(kinds)]
    nth = data.draw(st.integers(0, count + 1))
    kind = data.draw(st.sampled_from(FeedKind)) if nth else FeedKind.FULL
    applied = _link(nth, kind, revision=1)
    lines = {(link.as_of, link.revision): data.draw(BALANCES) for link in [*counting, applied]}
    made = chain(applied, counting)
    after = [link for link in counting if link.as_of != applied.as_of]
    after = sorted([*after, applied], key=lambda link: link.as_of)
    moved = dict[str, int]()
    for sign, links in ((1, after), (-1, counting)):
        for balances in _balances(links, lines).values():
            for key, balance in balances.items():
                moved[key] = moved.get(key, 0) + sign * balance
    expected = {key: n for key, n in moved.items() if n}
    got = dict[str, int]()
    for sign, held in ((1, made.now), (-1, made.before)):
        for key, n in _held(list(held), lines, made).items():
            got[key] = got.get(key, 0) + sign * n
    assert expected == {key: n for key, n in got.items() if n}


def test_a_full_day_with_nothing_behind_it_is_plain() -> None:
    """It is read as ever; a DELTA day, or a day that others stand on, is more than its lines."""
    full, delta = FeedKind.FULL, FeedKind.DELTA
    counting = [_link(0, full), _link(1, delta), _link(2, full)]
    assert chain(_link(2, full, 1), counting).is_plain
    assert chain(_link(3, full), counting).is_plain
    assert not chain(_link(0, full, 1), counting).is_plain
    assert not chain(_link(3, delta), counting).is_plain
    assert counting[:2] == stands_on(counting[1], counting)
    made = chain(_link(0, full, 1), counting)
    assert [FIRST, FIRST + timedelta(days=1)] == made.days
    assert [(FIRST, 1), (FIRST, 0)] == [(link.as_of, link.revision) for link in made.up_to_day]
