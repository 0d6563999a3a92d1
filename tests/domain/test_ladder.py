"""Ladders: what a way says in three-valued truth, and which ways cannot be (T-2, A-6, S-2)."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.ladder import Alternative, Bound, Term, Truth
from benefits.domain.metrics import Reading
from benefits.domain.policy import Lock, Metric
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from tests.builders import reference_programme
from tests.domain.test_policies import FIRST
from tests.domain.test_ways import HEAD, PLATINUM, PROGRAMME, TIERS

truths = st.sampled_from(Truth)


def alternative(*found: Truth) -> tuple[Alternative, list[Reading]]:
    """Return a way of as many bounds, and readings that make them so."""
    known = {Truth.YES: (30, 30), Truth.OPEN: (0, 29), Truth.NO: (0, 30)}
    readings = [
        Reading(month=FIRST, sum_minor=total, known_days=days, days=30, divisor=30)
        for total, days in (known[each] for each in found)
    ]
    bounds = tuple(Bound(place, 1) for place in range(len(found)))
    return Alternative("WAY", {}, bounds, frozenset(), Term(1)), readings


def test_and_is_kleenes() -> None:
    """A-6: false beats open beats true."""
    for one, two in product(Truth, repeat=2):
        way, readings = alternative(one, two)
        if Truth.NO in {one, two}:
            expected = Truth.NO
        else:
            expected = Truth.OPEN if Truth.OPEN in {one, two} else Truth.YES
        assert expected is way.truth(readings, frozenset())


@given(st.lists(st.lists(truths, min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_what_is_open_decides_nothing_that_it_could_not_change(
    ways: list[list[Truth]], data: st.DataObject
) -> None:
    """A-6: however the open statements turn out, the rank lies between proven and possible."""
    flat = [truth for way in ways for truth in way]
    _, readings = alternative(*flat)
    rung, place = list[Alternative](), 0
    for index, way in enumerate(ways):
        bounds = tuple(Bound(place + n, 1) for n in range(len(way)))
        rung.append(Alternative(f"W{index}", {}, bounds, frozenset(), Term(1)))
        place += len(way)
    made = replace(PROGRAMME.ladder, rungs=(PROGRAMME.ladder.rungs[0], tuple(rung)))
    verdict = made.judge(readings, frozenset())
    turned = [
        data.draw(st.sampled_from([Truth.NO, Truth.YES])) if each is Truth.OPEN else each
        for each in flat
    ]
    known = made.judge(alternative(*turned)[1], frozenset())
    assert verdict.qualified <= known.qualified <= verdict.possible
    assert (verdict.qualified == verdict.possible) or Truth.OPEN in flat


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'layer = "RULE"',
            'layer = "MODEL"',
            (
                "tier[3].any[0].all[0].layer: a MODEL label may rank, never decide; "
                "FACT, RULE, LIST may"
            ),
        ),
        (
            'layer = "RULE"',
            'layer = "RULES"',
            (
                "Invalid enum value 'RULES' - at `$.tier[3].any[0].all[0].layer`"
                "; did you mean 'RULE'?"
            ),
        ),
        (
            '"QUARTER_AVG"',
            '"QUATER_AVG"',
            (
                "Invalid enum value 'QUATER_AVG' - at `$.tier[2].any[0].all[0].metric`"
                "; did you mean 'QUARTER_AVG'?"
            ),
        ),
        (
            '"QUARTER_AVG"',
            '"X"',
            (
                "Invalid enum value 'X' - at `$.tier[2].any[0].all[0].metric`"
                "; it is one of MONTH_AVG, QUARTER_AVG, YEAR_AVG, LAST_K_MONTHS, "
                "ROLLING, POINT_IN_TIME"
            ),
        ),
        (
            '{ label = "salary" }',
            '{ labl = "salary" }',
            (
                "Object contains unknown field `labl` - at `$.tier[2].any[1].all[0]`"
                "; did you mean 'label'?"
            ),
        ),
        (
            '"QUARTER_AVG", threshold = "450000"',
            '"QUARTER_AVG"',
            "tier[2].any[0].all[0].threshold: say from which average on",
        ),
        (
            '"QUARTER_AVG", ',
            '"LAST_K_MONTHS", ',
            (
                "tier[2].any[0].all[0].months: say how many months LAST_K_MONTHS averages, "
                "and of no other metric"
            ),
        ),
        (
            '{ label = "salary" }, { metric',
            '{ label = "salary", metric',
            "tier[2].any[1].all[0]: one condition is a metric or a label; write two",
        ),
        (
            '{ label = "salary" }',
            '{ label = "salary", weights = {} }',
            "tier[2].any[1].all[0]: one condition is a metric or a label; write two",
        ),
        (
            'threshold = "450000"',
            'threshold = "450000", weights = { DEPOSITS = "0.5" }',
            (
                "tier[2].any[0].all[0].weights.DEPOSITS: is not among asset_classes"
                "; did you mean 'DEPOSIT'?"
            ),
        ),
        (
            'threshold = "450000"',
            'threshold = "450000", weights = { DEPOSIT = "-1" }',
            (
                "tier[2].any[0].all[0].weights.DEPOSIT: must be from 0, which leaves the class "
                "out, to 10"
            ),
        ),
        (
            'threshold = "450000"',
            'threshold = "450000", weights = { DEPOSIT = "0" }',
            (
                "tier[2].any[0].all[0].weights: every class weighs 0, so nobody has anything; "
                "weigh one"
            ),
        ),
        (
            'all = [{ label = "invited", layer = "RULE" }]',
            "all = []",
            "tier[3].any[0].all: name at least one condition",
        ),
        ('code = "SALARY"', 'code = "QUARTER"', "tier[2].any[1].code: 'QUARTER' stands twice"),
        (
            'threshold = "450000"',
            'threshold = "0.001"',
            "tier[2].any[0].all[0].threshold: 0.001 has more than 2 decimals",
        ),
        (
            "lock = { months = 12 }",
            "lock = { months = 12 }\nmisses = 2",
            "tier[2].any[1].misses: a tier with a lock is not lost by misses; keep one of the two",
        ),
        (
            'name = { zh = "邀请", en = "invitation" }',
            'name = { zh = "邀请" }',
            "tier[3].any[0].name: no text in en",
        ),
        (
            'threshold = "50000"\n',
            "",
            "tier[1].threshold: say from which average on, or how else, by any",
        ),
    ],
)
def test_a_way_that_cannot_be_is_refused_by_its_path(old: str, new: str, problem: str) -> None:
    """S-2, T-2: every contradiction is named where it stands, with what was perhaps meant."""
    assert old in TIERS
    with pytest.raises(ProgrammeInvalid) as refused:
        read(TIERS.replace(old, new))
    assert problem in refused.value.detail.split("\n")


def test_a_way_may_lose_the_tier_by_misses_of_its_own() -> None:
    """T-2: where a tier is kept by a lock, a way may be lost by misses."""
    text = TIERS.replace("lock = { months = 12 }", "misses = 1")
    programme = read(text)
    assert Term(1) == programme.ladder.by(PLATINUM, "SALARY").term
    assert Term(3) == programme.ladder.by(PLATINUM, "QUARTER").term
    assert Term(0, Lock(months=12)) == PROGRAMME.ladder.by(PLATINUM, "SALARY").term
    assert Metric.QUARTER_AVG is programme.ladder.metrics[1].metric


def test_a_programme_without_ways_asks_for_nothing_besides() -> None:
    """T-2: without ways there are no labels and no other metric to read."""
    plain = read(HEAD)
    assert (False, frozenset(), 1) == (
        plain.ladder.has_ways,
        plain.ladder.labels,
        len(plain.ladder.metrics),
    )


@given(
    st.integers(0, 12_000_000_00 * 31), st.integers(0, 31), st.integers(1, 40), st.integers(1, 31)
)
def test_thresholds_alone_are_judged_as_any_ways_are(
    total: int, known: int, divisor: int, asked: int
) -> None:
    """T-1: the look that plain ladders are judged by says what the general rule says."""
    reading = Reading(
        month=FIRST, sum_minor=total, known_days=known, days=31, divisor=divisor, young=asked < 7
    )
    plain = reference_programme().ladder
    general = replace(plain, plain=None)
    assert general.judge([reading], frozenset()) == plain.judge([reading], frozenset())
