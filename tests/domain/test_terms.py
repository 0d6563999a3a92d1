"""What a version changes, and what of it is worse for members: in doubt it is (U-2)."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from benefits.domain import terms
from benefits.domain.packages import Line, LinePeriod
from benefits.domain.policy import Condition, Metric, Way
from benefits.domain.programme import Programme, ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.recurring import Missing, Recurring
from benefits.domain.terms import (
    Change,
    Channel,
    Notice,
    NoticeInvalid,
    NoticeMissing,
    changes,
    check_notice,
    check_told,
    renewed,
    unspent,
)
from benefits.domain.welcome import Welcome
from tests.builders import PROGRAMME, reference_programme
from tests.domain.test_terms_of_benefits import MONTHLY

BEFORE = reference_programme()
TODAY = date(2025, 7, 1)
LOUNGES = "PLATINUM = 2, DIAMOND = 6"
LINE = 'period = "QUARTER"'


def worse(text: str) -> list[tuple[str, bool]]:
    """Return the paths that a programme file changes, and whether for the worse."""
    return [(each.path, each.is_worse) for each in changes(BEFORE, read(text))]


def told(*found: Change, days_ago: int = 30, text: str = "从8月1日起……") -> Notice:
    """Return a notice of changes."""
    on = TODAY - timedelta(days=days_ago)
    return Notice(channel=Channel.SMS, given_on=on, text=text, by="anna-li", changes=found)


def test_a_version_that_says_the_same_changes_nothing() -> None:
    """Whatever its comments."""
    assert [] == worse("# another comment\n" + PROGRAMME)


def test_a_day_that_is_skipped_or_moved_is_worse() -> None:
    """P-10, U-2: June's day 31 goes or comes; another day is not known to be no worse."""
    day = Line(
        code="day",
        benefit="LOUNGE",
        period=LinePeriod.OCCURRENCE,
        on=Recurring(day=31),
        quota={"GOLD": 1},
    )
    kept = replace(day, missing=Missing.LAST_DAY)

    def found(before: Line, after: Line) -> list[tuple[str, bool]]:
        one, other = (replace(BEFORE, line=(*BEFORE.line, each)) for each in (before, after))
        return [(each.path, each.is_worse) for each in changes(one, other)]

    assert [("line.day.missing", False)] == found(day, kept)
    assert [("line.day.missing", True)] == found(kept, day)
    assert [("line.day.on.day", True)] == found(day, replace(day, on=Recurring(day=30)))


def test_periods_counted_from_another_day_are_worse() -> None:
    """P-2, U-2: they start with the period, too, which is not."""
    own = f'{LINE}\nanchor = "ANNIVERSARY"\nstart = "PERIOD"'
    found = [("line.lounge.anchor", True), ("line.lounge.start", False)]
    assert found == sorted(worse(PROGRAMME.replace(LINE, own, 1)))


def test_a_result_that_is_known_later_or_by_no_day_is_worse() -> None:
    """T-3, U-2: what was promised by the 10th may be known by the 8th, not by the 15th."""

    def posted(by: int | None) -> Programme:
        return replace(BEFORE, policy=replace(BEFORE.policy, post_by=by))

    for by, is_worse in ((8, False), (15, True), (None, True)):
        (change,) = changes(posted(10), posted(by))
        assert ("policy.post_by", is_worse) == (change.path, change.is_worse)


def test_less_time_for_what_is_made_good_is_worse() -> None:
    """A-7, L-9, U-2: to promise it is no worse, fewer days or none are."""

    def promised(days: int | None) -> Programme:
        return replace(BEFORE, policy=replace(BEFORE.policy, make_good_days=days))

    worse = {(30, 7), (7, None)}
    for before, after in ((None, 7), (30, 60), *worse):
        (change,) = changes(promised(before), promised(after))
        is_worse = (before, after) in worse
        assert ("policy.make_good_days", is_worse) == (change.path, change.is_worse)


def test_a_shorter_welcome_is_worse_and_a_new_one_is_not() -> None:
    """M-8, U-2: new customers get more by it; another tier is not known to be no worse."""

    def welcoming(tier: str | None, months: int = 3) -> Programme:
        welcome = Welcome(tier=tier, months=months) if tier else None
        return replace(BEFORE, policy=replace(BEFORE.policy, welcome=welcome))

    three = welcoming("GOLD")
    for before, after, path, is_worse in (
        (welcoming(None), three, "policy.welcome", False),
        (three, welcoming(None), "policy.welcome", True),
        (three, welcoming("GOLD", 4), "policy.welcome.months", False),
        (three, welcoming("GOLD", 2), "policy.welcome.months", True),
        (three, welcoming("PLATINUM"), "policy.welcome.tier", True),
    ):
        (change,) = changes(before, after)
        assert (path, is_worse) == (change.path, change.is_worse)


@pytest.mark.parametrize(
    ("old", "new", "path", "is_worse"),
    [
        (LOUNGES, "PLATINUM = 1, DIAMOND = 6", "line.lounge.quota.PLATINUM", True),
        (LOUNGES, "PLATINUM = 3, DIAMOND = 6", "line.lounge.quota.PLATINUM", False),
        (LOUNGES, "DIAMOND = 6", "line.lounge.quota.PLATINUM", True),
        ("quota = { GOLD = 1,", "quota = { BASE = 1, GOLD = 1,", "line.video.quota.BASE", False),
        ('threshold = "50000"', 'threshold = "60000"', "tier.GOLD.threshold", True),
        ('threshold = "50000"', 'threshold = "40000"', "tier.GOLD.threshold", False),
        ("misses = 6", "misses = 3", "tier.PRIVATE.misses", True),
        ('sku = "lounge-visit"', 'sku = "lounge-half"', "benefit.LOUNGE.sku", True),
        ("asset_classes", 'feeds = ["core"]\nasset_classes', "feeds.core", True),
        ("misses = 6", "misses = 7", "tier.PRIVATE.misses", False),
        ("limit = 2", "limit = 1", "benefit.VIDEO.cap.limit", True),
        ('cap = { limit = 2, window = "MONTH" }', "", "benefit.VIDEO.cap", False),
        ("stock = 50", "stock = 49", "benefit.VIDEO.stock", True),
        ("stock = 50", "", "benefit.VIDEO.stock", False),
        ('budget = "lounge"', 'budget = "lounge"\nstock = 9', "benefit.LOUNGE.stock", True),
        ('period = "QUARTER"', 'period = "YEAR"', "line.lounge.period", True),
        (LINE, f'{LINE}\nstart = "PERIOD"', "line.lounge.start", False),
        (LINE, f"{LINE}\nvalid_days = 200", "line.lounge.valid_days", True),
        (LINE, f'{LINE}\ndowngrade = "REVOKE_EXCESS"', "line.lounge.downgrade", True),
        (LINE, f'{LINE}\nupgrade = "FULL"', "line.lounge.upgrade", False),
        (LINE, f'{LINE}\ncost_centre = "0571-30"', "line.lounge.cost_centre", False),
        (LINE, f'{LINE}\nupgrade = "NEXT_PERIOD"', "line.lounge.upgrade", True),
        ('"WEALTH", "FUND"', '"WEALTH"', "asset_classes.FUND", True),
        ('"WEALTH", "FUND"', '"WEALTH", "FUND", "GOLD"', "asset_classes.GOLD", False),
        ('cost = "38.00"', 'cost = "39.00"', "benefit.LOUNGE.cost", False),
        ('en = "Airport lounge"', 'en = "Lounge"', "benefit.LOUNGE.name.en", False),
        ('url = "http://127.0.0.1:9"', 'url = "http://[::1]:9"', "provider.sandbox.url", False),
        ("asset_classes", "notice_days = 20\nasset_classes", "notice_days", True),
        (
            'recipient = ["phone"]\nstock',
            'recipient = ["phone", "name"]\nstock',
            "benefit.VIDEO.recipient.name",
            True,
        ),
        ("[[tier]]", "[policy]\npost_by = 10\n[[tier]]", "policy.post_by", False),
        ("[[tier]]", '[policy]\nmetric = "QUARTER_AVG"\n[[tier]]', "policy.metric", True),
        (
            "[[tier]]",
            '[policy]\nweights = { FUND = "0.5" }\n[[tier]]',
            "policy.weights.FUND",
            True,
        ),
        (
            "[[tier]]",
            '[policy]\nweights = { FUND = "1.5" }\n[[tier]]',
            "policy.weights.FUND",
            False,
        ),
        (
            "[[tier]]",
            '[policy]\nliabilities = { FUND = "0.5" }\n[[tier]]',
            "policy.liabilities.FUND",
            True,
        ),
    ],
)
def test_a_change_is_judged_by_its_path(old: str, new: str, path: str, *, is_worse: bool) -> None:
    """Fewer, dearer, shorter, stricter is worse; texts, providers and costs are not."""
    assert old in PROGRAMME
    assert [(path, is_worse)] == worse(PROGRAMME.replace(old, new, 1))


TOP = """
[[tier]]
code = "CROWN"
name = { zh = "至尊", en = "Crown" }
threshold = "50000000"
misses = 6

"""


RULE = "eligible = { age = { at_least = 60 } }"


@pytest.mark.parametrize("place", ['sku = "video-month"', 'benefit = "VIDEO"'])
def test_who_is_let_in_is_narrowed_by_whatever_is_not_known_to_be_wider(place: str) -> None:
    """A new rule is worse, and another one; without one everybody is let in (E-1)."""
    with_rule = read(PROGRAMME.replace(place, f"{place}\n{RULE}"))
    other = read(PROGRAMME.replace(place, f"{place}\n{RULE.replace('60', '50')}"))
    assert [True] == [each.is_worse for each in changes(BEFORE, with_rule)]
    assert [True] == [each.is_worse for each in changes(with_rule, other)]
    assert [False] == [each.is_worse for each in changes(with_rule, BEFORE)]


def test_a_consent_that_is_newly_needed_is_worse() -> None:
    """To ask for one that nothing needs is not, nor to need one no more; another text is (E-4)."""
    text = '\n[[consent]]\ncode = "phone"\ntext = { zh = "号码。", en = "Your number." }\n'
    asked = read(PROGRAMME + text)
    sku = 'sku = "video-month"'
    needed = read(PROGRAMME.replace(sku, f'{sku}\nconsent = "phone"') + text)
    reworded = read(PROGRAMME + text.replace("number", "name"))
    assert [False] == [each.is_worse for each in changes(BEFORE, asked)]
    assert [False] == [each.is_worse for each in changes(asked, BEFORE)]
    assert [True] == [each.is_worse for each in changes(asked, needed)]
    assert [False] == [each.is_worse for each in changes(needed, asked)]
    assert [True] == [each.is_worse for each in changes(asked, reworded)]


def test_a_new_tier_that_brings_less_is_worse() -> None:
    """Who rises into it loses what the tier below brings, unless it brings as much."""
    head, _, rest = PROGRAMME.partition("[[provider]]")
    text = f"{head}{TOP}[[provider]]{rest}"
    assert [("tier.CROWN", True)] == worse(text)
    brings = text.replace("PRIVATE = 12 }", "PRIVATE = 12, CROWN = 12 }").replace(
        "PRIVATE = 3 }", "PRIVATE = 3, CROWN = 4 }"
    )
    assert {False} == {is_worse for _, is_worse in worse(brings)}


def test_what_decides_tiers_is_told_before_the_first_month_it_judges() -> None:
    """U-2: told on 1 June, it may judge from July on; no month before."""
    (higher,) = changes(BEFORE, read(PROGRAMME.replace('"50000"', '"60000"', 1)))
    notice = [told(higher)]
    check_told([higher], notice, begins=TODAY, judged=date(2025, 8, 1), days=30)
    with pytest.raises(NoticeMissing):
        check_told([higher], notice, begins=date(2025, 7, 15), judged=date(2025, 6, 1), days=30)


def test_a_notice_is_spent_when_what_it_told_holds() -> None:
    """U-2: told, done, undone: to be done again it is told again."""
    fewer = read(PROGRAMME.replace(LOUNGES, "PLATINUM = 1, DIAMOND = 6"))
    (lost,) = changes(BEFORE, fewer)
    at = [datetime(2025, month, 1, tzinfo=UTC) for month in (1, 3, 5)]
    given = [(datetime(2025, 2, 1, tzinfo=UTC), told(lost))]
    versions = [(at[0], BEFORE), (at[1], fewer), (at[2], BEFORE)]
    assert [(lost,)] == [one.changes for one in unspent(given, versions[:1])]
    assert [()] == [one.changes for one in unspent(given, versions)]
    again = [(datetime(2025, 6, 1, tzinfo=UTC), told(lost))]
    assert [(lost,)] == [one.changes for one in unspent(again, versions)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("limit", MONTHLY.replace('"m"', '"m.x"')),
        ("benefit", PROGRAMME[PROGRAMME.index("[[benefit]]") :]),
        ("line", PROGRAMME[PROGRAMME.index("[[line]]") :]),
    ],
)
def test_a_notice_of_an_earlier_release_is_of_the_same_change(kind: str, text: str) -> None:
    """What a whole thing did not say yet is its default; what is no such thing stays."""
    whole = read(PROGRAMME + text if kind == "limit" else PROGRAMME)
    every = changes(replace(whole, **{kind: ()}), whole)
    found = [each for each in every if each.path.startswith(f"{kind}.")]
    assert found
    for change in found:
        said = json.loads(change.after)
        asked = {field.name for field in fields(type(getattr(whole, kind)[0])) if field.required}
        brief = {name: value for name, value in said.items() if name in asked or value}
        assert brief != said
        early = replace(change, after=json.dumps(brief))
        assert change == renewed(early) == renewed(change)
        other = replace(change, after='{"unheard": 1}', before="1")
        assert other == renewed(other)
    for change in changes(BEFORE, read(PROGRAMME.replace(LOUNGES, "DIAMOND = 6"))):
        assert change == renewed(change)


def test_whole_things_come_and_go() -> None:
    """A line that is taken away is worse, one more is not."""
    head, first, _ = PROGRAMME.split("[[line]]")
    shorter = read(f"{head}[[line]]{first}")
    for before, after, is_worse in ((BEFORE, shorter, True), (shorter, BEFORE, False)):
        (only,) = changes(before, after)
        assert ("line.video", is_worse) == (only.path, only.is_worse)


def test_what_is_owed_no_more_is_not_worse() -> None:
    """A-8: a class that is deducted with less weight, or counts instead."""
    heavy, light = (
        replace(BEFORE, policy=replace(BEFORE.policy, liabilities={"FUND": Decimal(weight)}))
        for weight in ("1", "0.5")
    )
    for before, after, is_worse in (
        (heavy, light, False),
        (light, heavy, True),
        (light, BEFORE, False),
    ):
        (only,) = changes(before, after)
        assert ("policy.liabilities.FUND", is_worse) == (only.path, only.is_worse)


@pytest.mark.parametrize(
    ("liabilities", "is_worse"), [(None, False), ({"FUND": Decimal(1)}, True)]
)
def test_a_way_that_deducts_a_class_takes_it_from_the_other_metrics(
    liabilities: dict[str, Decimal] | None, *, is_worse: bool
) -> None:
    """A-8, T-2: one more way is not worse, unless what counted for all is nothing to them now."""
    condition = Condition(metric=Metric.MONTH_AVG, threshold=Decimal(1), liabilities=liabilities)
    way = Way(code="NET", name={"zh": "净", "en": "Net"}, all=(condition,), misses=3)
    first, second, *rest = BEFORE.tier
    after = replace(BEFORE, tier=(first, replace(second, any=(way,)), *rest))
    (only,) = changes(BEFORE, after)
    assert (f"tier.{second.code}.any.NET", is_worse) == (only.path, only.is_worse)
    without = replace(BEFORE, tier=(first, *rest))
    (only,) = changes(without, after)
    assert (f"tier.{second.code}", is_worse) == (only.path, only.is_worse)


bounds = st.lists(st.integers(1, 9), min_size=3, max_size=3, unique=True)
quotas = st.dictionaries(
    st.sampled_from(["GOLD", "PLATINUM", "DIAMOND"]), st.integers(1, 12), min_size=1
)


def programme(thresholds: list[int], quota: dict[str, int]) -> Programme:
    """Return the reference programme with other bounds of the middle tiers and another quota."""
    tiers = list(BEFORE.tier)
    for place, threshold in enumerate(sorted(thresholds), 1):
        tiers[place] = replace(tiers[place], threshold=Decimal(threshold))
    line = replace(BEFORE.line[0], quota={code: Decimal(n) for code, n in quota.items()})
    return replace(BEFORE, tier=tuple(tiers), line=(line,))


def units(made: Programme, average: int) -> Decimal:
    """Return what a month at an average brings of the first line."""
    reached = [tier.code for tier in made.tier if (tier.threshold or 0) <= average]
    return Decimal(made.line[0].quota.get(reached[-1], 0))


@given(bounds, bounds, quotas, quotas)
def test_what_is_not_worse_takes_nothing_from_anybody(
    before: list[int], after: list[int], quota: dict[str, int], later: dict[str, int]
) -> None:
    """U-2: where more tier is not less benefit, no member has fewer units than before."""
    one, other = programme(before, quota), programme(after, later)
    ascending = [later.get(code, 0) for code in ("GOLD", "PLATINUM", "DIAMOND")]
    if not any(each.is_worse for each in changes(one, other)) and ascending == sorted(ascending):
        assert all(units(one, average) <= units(other, average) for average in range(10))


def test_worse_changes_need_a_notice_given_in_time() -> None:
    """U-2: 30 days before, of each of them; of what is no worse none."""
    found = changes(BEFORE, read(PROGRAMME.replace(LOUNGES, "DIAMOND = 7")))
    lost, more = found
    assert (True, False) == (lost.is_worse, more.is_worse)
    check_told([more], [], begins=TODAY, judged=TODAY, days=30)
    check_told(found, [told(lost)], begins=TODAY, judged=TODAY, days=30)
    late: list[list[Notice]] = [[], [told(lost, days_ago=29)], [told(more)]]
    for notices in late:
        with pytest.raises(NoticeMissing, match=r"line\.lounge\.quota\.PLATINUM: 2 -> none"):
            check_told(found, notices, begins=TODAY, judged=TODAY, days=30)


@pytest.mark.parametrize(
    ("days_ago", "text"),
    [
        (-1, "words"),
        (0, " "),
        (0, "x" * 4001),
        (0, "本行拥有最终解释权。"),
        (0, "The bank has the final right of interpretation."),
        (0, "活动解释权归本行所有。"),
        (0, "本行有权随时调整活动规则。"),
        (0, "银行保留在任何时候修改本规则的权利。"),
        (0, "The bank Reserves the Right, at any time, to modify these terms."),
    ],
)
def test_a_notice_is_one(days_ago: int, text: str) -> None:
    """U-2: it says something, was given, and claims neither the last word nor a free hand."""
    change = Change("line.lounge.quota.PLATINUM", "2", "1", is_worse=True)
    check_notice(told(change, days_ago=0), TODAY)
    with pytest.raises(NoticeInvalid):
        check_notice(told(change, days_ago=days_ago, text=text), TODAY)
    with pytest.raises(NoticeInvalid):
        check_notice(told(days_ago=0), TODAY)


@pytest.mark.parametrize(
    "text",
    [
        "您有权随时取消预约，并可随时更改时间。",
        "自8月起每季一次，先到先得，售完为止。",
        "You may change your booking at any time; the seat is reserved to the right.",
    ],
)
def test_what_members_may_change_is_no_claim(text: str) -> None:
    """U-2: nor is what a notice says of the change itself."""
    change = Change("line.lounge.quota.PLATINUM", "2", "1", is_worse=True)
    check_notice(told(change, days_ago=0, text=text), TODAY)


def test_a_programme_claims_no_final_right() -> None:
    """U-2: neither what its benefits say nor what members agree to."""
    words = 'about = { zh = "最终解释权归本行所有", en = "x" }\nkind = "BOOKING"'
    with pytest.raises(ProgrammeInvalid, match=r"benefit\[0\]\.about: '最终解释权'"):
        read(PROGRAMME.replace('kind = "BOOKING"', words))
    agreed = '\n[[consent]]\ncode = "phone"\ntext = { zh = "同意", en = "I agree. %s" }\n'
    assert "phone" in read(PROGRAMME + agreed % "My number goes to the provider.").consents
    with pytest.raises(ProgrammeInvalid, match=r"consent\[0\]\.text: 'reserves the right to "):
        read(PROGRAMME + agreed % "The bank reserves the right to change this.")


def test_what_compliance_asks_takes_nothing_from_members() -> None:
    """Nature, triggers and preset are the bank's own affair: none of them is worse for anybody."""
    before = reference_programme()
    text = PROGRAMME.replace(
        'budget = "video"', 'budget = "video"\nnature = "DISCOUNT"\ntriggers = ["REFERRAL"]', 1
    )
    found = terms.changes(before, read('compliance = "none"\n' + text))
    assert {"compliance", "nature", "ACTIVITY", "REFERRAL"} == {
        each.path.rpartition(".")[2] for each in found
    }
    assert [] == [each for each in found if each.is_worse]
