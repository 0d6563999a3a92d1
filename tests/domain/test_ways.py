"""Ways into a tier: an OR of ANDs over metrics and labels, judged exactly and in time (T-2)."""

from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain import progress
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.explanation import explain
from benefits.domain.labels import Label, Layer, held
from benefits.domain.metrics import MonthSum, Reading
from benefits.domain.news import news
from benefits.domain.outlook import Sight, look_ahead
from benefits.domain.programme_file import read
from benefits.domain.progress import Running, nearest
from benefits.domain.tiers import Cause, Decision, Grounds, State, fold, step
from benefits.domain.values import Month
from tests.domain.test_policies import FIRST, months

HEAD = """
code = "ways"
name = { zh = "多种方式", en = "Several ways" }
currency = "CNY"
zone = "Asia/Shanghai"
asset_classes = ["DEPOSIT"]

[[tier]]
code = "BASE"
name = { zh = "大众", en = "Base" }
threshold = "0"

[[tier]]
code = "GOLD"
name = { zh = "金卡", en = "Gold" }
threshold = "50000"
misses = 2
"""
TIERS = (
    HEAD
    + """
[[tier]]
code = "PLATINUM"
name = { zh = "白金", en = "Platinum" }
threshold = "500000"
misses = 3

[[tier.any]]
code = "QUARTER"
name = { zh = "季日均四十五万", en = "450,000 in a quarter" }
all = [{ metric = "QUARTER_AVG", threshold = "450000" }]

[[tier.any]]
code = "SALARY"
name = { zh = "代发工资", en = "salary paid in here" }
all = [{ label = "salary" }, { metric = "MONTH_AVG", threshold = "100000" }]
lock = { months = 12 }

[[tier]]
code = "INVITED"
name = { zh = "受邀", en = "By invitation" }
misses = 1

[[tier.any]]
code = "INVITATION"
name = { zh = "邀请", en = "invitation" }
all = [{ label = "invited", layer = "RULE" }]
"""
)
PROGRAMME = read(TIERS)
RULES = Rules((Judge(1, FIRST, PROGRAMME),))
BASE, GOLD, PLATINUM, INVITED = range(4)
SALARY = Label("salary", Layer.FACT, date(2024, 1, 15), None)


def folded(
    sums: dict[Month, MonthSum], *labels: Label, through: Month | None = None
) -> list[Decision]:
    """Fold months and labels of a member since January 2024 by the programme."""
    return fold(
        RULES,
        {PROGRAMME.basket: sums},
        through or max(sums),
        labels=labels,
        opened_on=FIRST.start,
    )


def told(decisions: Sequence[Decision]) -> list[tuple[Cause, int, str]]:
    """Return what each month did, and by which way the tier is held then."""
    return [(each.cause, each.after.rank, each.after.way) for each in decisions]


def invited(from_: date, to: date | None = None, layer: Layer = Layer.RULE) -> Label:
    """Return an invitation."""
    return Label("invited", layer, from_, to)


def test_any_way_reaches_the_tier_and_is_named() -> None:
    """T-2: 100,000 with a salary are platinum, by the salary; without one they are gold."""
    without = folded(months(100_000))
    by_salary = folded(months(100_000), SALARY)
    assert [(Cause.UPGRADED, GOLD, "")] == told(without)
    assert [(Cause.UPGRADED, PLATINUM, "SALARY")] == told(by_salary)
    assert date(2025, 2, 1) == by_salary[0].after.lock_until


def test_all_conditions_of_a_way_must_hold() -> None:
    """T-2: a salary alone, without 100,000, is no way in."""
    assert [(Cause.UPGRADED, GOLD, "")] == told(folded(months(99_999), SALARY))


def test_each_way_has_its_own_term() -> None:
    """T-2: by the salary for 12 months, whatever comes; by the average until 3 months below."""
    lost = Label("salary", Layer.FACT, date(2024, 1, 15), date(2024, 2, 1))
    term = folded(months(100_000, *[0] * 12), lost)
    assert [Cause.UPGRADED, *[Cause.HELD] * 11, Cause.DOWNGRADED] == [e.cause for e in term]
    average = folded(months(500_000, 0, 0, 0))
    causes = [Cause.UPGRADED, Cause.WATCHED, Cause.WATCHED, Cause.DOWNGRADED]
    assert causes == [each.cause for each in average]


def test_of_ways_that_hold_the_one_with_the_better_term_counts() -> None:
    """T-2: who has both the average and a salary is not worse off than by the salary alone."""
    both = folded(months(500_000, 0), SALARY)
    assert [(Cause.UPGRADED, PLATINUM, "SALARY"), (Cause.HELD, PLATINUM, "SALARY")] == told(both)


def test_a_tier_kept_by_another_way_has_its_term_from_then() -> None:
    """T-2: won by the average, kept by a salary that began: its year begins."""
    begun = Label("salary", Layer.FACT, date(2024, 2, 29), None)
    got = folded(months(500_000, 100_000), begun)
    assert (Cause.RETAINED, "SALARY") == (got[1].cause, got[1].after.way)
    assert date(2025, 3, 1) == got[1].after.lock_until


def test_a_quarter_counts_from_its_last_month_until_the_next_is_over() -> None:
    """T-2, M-3: a way's metric is that of the last period that is over."""
    got = folded(months(450_000, 450_000, 450_000, 0, 0, 0, 0))
    assert [
        *[(Cause.UPGRADED, GOLD, ""), (Cause.RETAINED, GOLD, "")],
        (Cause.UPGRADED, PLATINUM, "QUARTER"),
        *[(Cause.RETAINED, PLATINUM, "QUARTER")] * 2,
        *[(Cause.WATCHED, PLATINUM, "QUARTER")] * 2,
    ] == told(got)


@pytest.mark.parametrize(
    ("label", "is_valid"),
    [
        (invited(date(2024, 1, 31)), True),
        (invited(date(2024, 2, 1)), False),
        (invited(date(2023, 5, 1), date(2024, 1, 31)), False),
        (invited(date(2023, 5, 1), date(2024, 2, 1)), True),
        (invited(date(2023, 5, 1), layer=Layer.FACT), False),
        (invited(date(2023, 5, 1), layer=Layer.MODEL), False),
    ],
)
def test_a_label_counts_that_is_valid_on_the_months_last_day(label: Label, is_valid: bool) -> None:  # noqa: FBT001 - a table
    """S-1, S-2: half open, by its own layer; a MODEL label decides nothing."""
    (*_, got) = folded(months(0), label)
    assert (INVITED if is_valid else BASE) == got.after.rank


def test_a_member_without_any_balance_may_be_in_by_a_label() -> None:
    """T-2: a label begins a standing; months without balances are unknown, and no miss."""
    label = invited(date(2024, 2, 10), date(2024, 4, 1))
    got = folded({}, label, through=Month(2024, 4))
    assert [
        (Cause.UPGRADED, INVITED, "INVITATION"),
        (Cause.RETAINED, INVITED, "INVITATION"),
        (Cause.UNDETERMINED, INVITED, "INVITATION"),
    ] == told(got)


def test_what_is_not_known_matters_only_where_it_could_change_something() -> None:
    """A-6: days missing are no excuse where no balance could help, and no harm where one could."""
    month = FIRST
    gap = Reading(month=month, sum_minor=0, known_days=30, days=31, divisor=31)
    sure = replace(gap, known_days=31)
    low = replace(gap, sum_minor=499_999_99 * 31, known_days=31)
    cases = [
        (PLATINUM, gap, sure, Cause.UNDETERMINED),  # the month could still be enough
        (PLATINUM, low, gap, Cause.UNDETERMINED),  # the quarter could
        (PLATINUM, low, sure, Cause.WATCHED),
        (INVITED, low, sure, Cause.DOWNGRADED),
        (INVITED, low, gap, Cause.UNDETERMINED),  # lost for sure, but not yet where one lands
    ]
    for rank, own, other, cause in cases:
        way = "INVITATION" if rank == INVITED else ""
        got = step(PROGRAMME, State(rank, way=way), own, Grounds((other,)))
        assert (rank, cause) == (rank, got.cause)
    # Two misses are still to come: that one is certain, wherever one would land.
    lenient = replace(PROGRAMME, tier=(*PROGRAMME.tier[:3], replace(PROGRAMME.tier[3], misses=2)))
    got = step(lenient, State(INVITED, way="INVITATION"), low, Grounds((gap,)))
    assert Cause.WATCHED is got.cause


levels = st.sampled_from([0, 49_999, 50_000, 100_000, 449_999, 450_000, 500_000])
spans = st.tuples(st.integers(0, 500), st.integers(1, 300))
labels = st.lists(
    st.builds(
        lambda name, layer, span: Label(
            name,
            layer,
            date.fromordinal(date(2024, 1, 1).toordinal() + span[0]),
            date.fromordinal(date(2024, 1, 1).toordinal() + sum(span)),
        ),
        st.sampled_from(["salary", "invited", "other"]),
        st.sampled_from([Layer.FACT, Layer.RULE]),
        spans,
    ),
    max_size=4,
)
lives = st.lists(levels, min_size=1, max_size=18)


@given(lives, labels, st.data())
def test_folding_on_equals_folding_from_the_start_with_labels(
    life: list[int], carried: list[Label], data: st.DataObject
) -> None:
    """T-8: folding on from any cut gives what folding all gives."""
    sums = months(*life)
    whole = folded(sums, *carried)
    cut = data.draw(st.integers(1, len(life)))
    at = FIRST.plus(cut - 1)
    before = folded(sums, *carried, through=at)
    rest = fold(
        RULES,
        {PROGRAMME.basket: sums},
        max(sums),
        labels=carried,
        opened_on=FIRST.start,
        start=before[-1].after,
        first=at.plus(1),
    )
    assert whole == before + rest


@given(lives, labels, st.data())
def test_what_is_on_record_in_the_end_hangs_on_no_order_of_arrival(
    life: list[int], carried: list[Label], data: st.DataObject
) -> None:
    """T-8, A-7: months and labels come in any order; evaluated again, the record is the fold."""
    sums = months(*life)
    arrivals: list[Month | Label] = [*sums, *carried]
    known, valid, written = dict[Month, MonthSum](), list[Label](), State()
    for arrival in data.draw(st.permutations(arrivals)):
        if isinstance(arrival, Label):
            valid.append(arrival)
        else:
            known[arrival] = sums[arrival]
        last = folded(known, *valid, through=max(sums))
        if last and (new := news(last[-1], written)):
            written = new.after
    final = folded(sums, *carried)[-1].after
    assert final.shown == written.shown


@given(lives, labels, st.integers(0, 17), st.integers(0, 10**9), st.integers(0, 3))
def test_more_balance_never_lowers(
    life: list[int], carried: list[Label], where: int, more: int, rank: int
) -> None:
    """3.18, 3: adding to a month keeps or raises what each month proves, and what it does."""
    sums = months(*life)
    month = FIRST.plus(where % len(life))
    richer = sums | {month: replace(sums[month], sum_minor=sums[month].sum_minor + more)}
    for poor, rich in zip(folded(sums, *carried), folded(richer, *carried), strict=True):
        assert poor.qualified <= rich.qualified
        before = State(rank, way=PROGRAMME.ladder.rungs[rank][0].code)
        steps = [step(PROGRAMME, before, e.readings[0], e.grounds) for e in (poor, rich)]
        assert steps[0].after.rank <= steps[1].after.rank


@given(lives, labels, st.sampled_from(["zh", "en"]))
def test_every_decision_names_the_way_that_held(
    life: list[int], carried: list[Label], language: str
) -> None:
    """X-6, T-2: the sentence names the tier, and where it was reached, by which way."""
    for each in folded(months(*life), *carried):
        sentence = explain(PROGRAMME, each)[language]
        assert PROGRAMME.tier[each.after.rank].name[language] in sentence
        if each.cause is Cause.UPGRADED and each.after.way:
            way = PROGRAMME.ladder.by(each.after.rank, each.after.way)
            assert way.name[language] in sentence


def test_the_sentence_says_what_held_and_what_would_keep_or_raise_the_tier() -> None:
    """X-6, T-2: word for word, in both languages."""
    (got,) = folded(months(100_000), SALARY)
    assert (
        "January 2024 daily average 100,000.00 (31 of 31 days known); 100,000.00 needed; "
        "reached by salary paid in here: your tier is Platinum from 1 February 2024. "
        "It is kept by a daily average of 500,000.00, or 450,000 in a quarter, or salary paid in "
        "here. By invitation is reached by invitation."
    ) == explain(PROGRAMME, got)["en"]
    assert (
        "2024年1月日均100,000.00（已知31/31天），达标线100,000.00；"
        "以“代发工资”达标，自2024年2月1日起为白金。"
        "保级方式：日均500,000.00，或季日均四十五万，或代发工资。升至受邀：邀请。"
    ) == explain(PROGRAMME, got)["zh"]
    got = folded(months(500_000, 450_000, 499_999))[1]
    assert explain(PROGRAMME, got)["en"].startswith(
        "February 2024 daily average 450,000.00 (29 of 29 days known); 500,000.00 needed; "
    )


def running(level: int, *labels: str) -> Running:
    """Return what is known on 10 February 2024 of a member who holds a level since January."""
    month = Month(2024, 2)
    sums = months(level) | {month: MonthSum(month, level * 100 * 10, 10)}
    carried = [Label(key[5:], Layer(key[:4]), date(2023, 1, 1), None) for key in labels]
    counted = {PROGRAMME.basket: sums}
    return progress.running(
        PROGRAMME, month, counted, day=10, opened_on=FIRST.start, labels=carried
    )


def test_progress_is_that_of_the_nearest_way_by_balances() -> None:
    """M-9, T-2: the least level for the rest; labels count where they are valid."""
    quarter = nearest(PROGRAMME, PLATINUM, running(440_000))
    assert ("QUARTER", 1, 450_000_00) == (quarter.way, quarter.metric, quarter.threshold_minor)
    assert quarter.needed_daily == -(-(450_000_00 * 91 - 440_000_00 * 41) // 50)
    salary = nearest(PROGRAMME, PLATINUM, running(50_000, "FACT:salary"))
    assert ("SALARY", 0, 100_000_00) == (salary.way, salary.metric, salary.threshold_minor)
    for period, needed in ((running(0, "RULE:invited"), 0), (running(9_000_000), None)):
        invitation = nearest(PROGRAMME, INVITED, period)
        assert ("INVITATION", None, needed) == (
            invitation.way,
            invitation.threshold_minor,
            invitation.needed_daily,
        )


def test_the_last_quarter_counts_until_the_running_one_is_over() -> None:
    """M-3, T-2: after a first quarter at 450,000, April asks for nothing."""
    april = Month(2024, 4)
    sums = months(450_000, 450_000, 450_000) | {april: MonthSum(april, 0, 20, 20)}
    period = progress.running(
        PROGRAMME, april, {PROGRAMME.basket: sums}, day=20, opened_on=date.min
    )
    need = nearest(PROGRAMME, PLATINUM, period)
    assert ("QUARTER", Month(2024, 3), 0) == (need.way, need.reading.month, need.needed_daily)
    june = Month(2024, 6)
    sums |= months(0, 0, first=april)
    period = progress.running(
        PROGRAMME, june, {PROGRAMME.basket: sums}, day=20, opened_on=date.min
    )
    assert june == nearest(PROGRAMME, PLATINUM, period).reading.month


def test_who_is_at_risk_or_near_is_seen_by_all_ways() -> None:
    """M-10, M-11, T-2: the quarter that counts, a valid label, a way missed by little."""
    state = State(PLATINUM)
    april = Month(2024, 4)
    sums = months(450_000, 450_000, 450_000) | {april: MonthSum(april, 0, 20, 20)}
    period = progress.running(
        PROGRAMME, april, {PROGRAMME.basket: sums}, day=20, opened_on=date.min
    )
    assert [] == look_ahead(PROGRAMME, state, period, last_minor=[0, 0])
    seen = [
        look_ahead(PROGRAMME, state, running(level, *labels), last_minor=[level * 100] * 2)
        for level, labels in ((440_000, ()), (100_000, ("FACT:salary",)), (100_000, ()))
    ]
    lost = [(Sight.AT_RISK, 500_000_00)]
    assert [lost, [], lost] == [
        [(one.outlook, one.threshold_minor) for one in each] for each in seen
    ]
    (near,) = look_ahead(PROGRAMME, State(GOLD), running(440_000), last_minor=[440_000_00] * 2)
    assert (Sight.NEAR, 450_000_00, 440_000_00) == (
        near.outlook,
        near.threshold_minor,
        near.projected_minor,
    )


def test_labels_are_valid_on_their_days_only() -> None:
    """S-1: `[from, to)`."""
    label = Label("salary", Layer.FACT, date(2024, 1, 15), date(2024, 2, 1))
    days = [date(2024, 1, 14), date(2024, 1, 15), date(2024, 1, 31), date(2024, 2, 1)]
    assert [set(), {"FACT:salary"}, {"FACT:salary"}, set()] == [held([label], d) for d in days]
