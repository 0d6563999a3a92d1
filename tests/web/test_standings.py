"""A member's tiers over HTTP: as of a time, as known at another, and every decision explained."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from benefits.domain.endings import LAST_INSTANT
from tests.actions.life import change
from tests.actions.test_evaluate_again import corrected, fallen
from tests.web.phone import Phone
from tests.web.site import Site
from tests.web.test_ledger import get
from tests.web.test_operator import ask

FELL = datetime(2025, 4, 3, 2, tzinfo=UTC)
ROSE = datetime(2025, 4, 6, 2, tzinfo=UTC)


async def lived(site: Site) -> UUID:
    """Let a member fall on 1 April and rise again by a correction on the 6th (G-CORR-1)."""
    site.world.clock.now = FELL
    member = await fallen(site.world)
    site.world.clock.now = ROSE
    await corrected(site.world, "2025-02", 505_000_00)
    await site.world.evaluate("2025-03", member)
    site.world.clock.now = ROSE + timedelta(days=1)
    return member


async def tier(site: Site, member: UUID, **times: str) -> tuple[str, str | None]:
    """Return the tier at a time and what caused it."""
    answer = await get(site, f"/v1/members/{member}/standing", **times)
    (one,) = answer["standings"]
    decision: dict[str, Any] | None = one["decision"]
    return one["tier"], decision["cause"] if decision else None


async def test_a_tier_is_told_as_of_a_time_as_known_at_another(running: Site) -> None:
    """T-9: what was believed on the 5th about the 4th stays readable after the correction."""
    member = await lived(running)
    assert ("PLATINUM", "CORRECTED") == await tier(running, member)
    assert ("GOLD", "DOWNGRADED") == await tier(running, member, as_of="2025-04-04")
    assert ("PLATINUM", "WATCHED") == await tier(running, member, as_of="2025-03-31")
    assert ("GOLD", "DOWNGRADED") == await tier(
        running, member, as_of="2025-04-07", known_at="2025-04-05"
    )
    assert ("BASE", None) == await tier(running, member, as_of="2024-12-31")
    fell = await running.world.rows(
        "SELECT effective_from, decided_at FROM tier_decision WHERE cause = 'DOWNGRADED'"
    )
    effective_from, decided_at = fell[0]
    for at, known, expected in (
        (effective_from, decided_at, "GOLD"),
        (effective_from - LAST_INSTANT, decided_at, "PLATINUM"),
        (effective_from, decided_at - LAST_INSTANT, "PLATINUM"),
    ):
        asked = {"as_of": at.isoformat(), "known_at": known.isoformat()}
        assert expected == (await tier(running, member, **asked))[0]
        answer = await get(running, f"/v1/members/{member}/decisions", known_at=asked["known_at"])
        assert (decided_at == known) == ("DOWNGRADED" == answer["decisions"][0]["cause"])


async def test_a_decision_tells_all_it_was_decided_on(running: Site) -> None:
    """X-6: inputs, days, threshold, exact margin, version, and words in both languages."""
    member = await lived(running)
    answer = await get(
        running, f"/v1/members/{member}/standing", as_of="2025-04-04", known_at="2025-04-05"
    )
    (standing,) = answer["standings"]
    decision = standing["decision"]
    expected = {
        "month": "2025-03",
        "metric": "MONTH_AVG",
        "period_from": "2025-03-01",
        "period_until": "2025-04-01",
        "days": 31,
        "known_days": 31,
        "missing_days": 0,
        "divisor": 31,
        "sum_minor": 499_000_00 * 31,
        "average_minor": 499_000_00,
        "compared_with": "PLATINUM",
        "threshold_minor": 500_000_00,
        "margin_minor": -1_000_00 * 31,
        "qualified": "GOLD",
        "before": "PLATINUM",
        "after": "GOLD",
        "effective_from": "2025-03-31T16:00:00Z",
    }
    assert expected == {name: decision[name] for name in expected}
    assert "499,000.00" in decision["why"]["en"]
    assert "499,000.00" in decision["why"]["zh"]
    assert not answer["provisional"]


async def test_a_raise_is_told_from_the_day_it_holds(running: Site, phone: Phone) -> None:
    """X-6, A-7: the correction of 6 April made no tier of the days before it; all say so."""
    member = await lived(running)
    (standing,) = (await get(running, f"/v1/members/{member}/standing"))["standings"]
    decided = (await get(running, f"/v1/members/{member}/decisions"))["decisions"]
    shown = (await get(running, f"/v1/members/{member}/benefits"))["programmes"][0]["tier"]
    for why in (standing["decision"]["why"], decided[0]["why"], shown["why"]):
        assert "your tier is Platinum from 6 April 2025" in why["en"]
        assert "自2025年4月6日起为白金" in why["zh"]
    assert "your tier is Gold from 1 April 2025" in decided[1]["why"]["en"]
    await phone.enter(member)
    _, html = await phone.get("/page/tiers?lang=en")
    assert "your tier is Platinum from 6 April 2025" in html


async def test_decisions_are_listed_by_cursor_the_last_first(running: Site) -> None:
    """Each once, in pages of any size, as known at a time."""
    member = await lived(running)
    path, found, cursor = f"/v1/members/{member}/decisions", list[str](), ""
    while True:
        page = await get(running, path, limit="2", **({"cursor": cursor} if cursor else {}))
        found += [one["cause"] for one in page["decisions"]]
        cursor = page["next"]
        if not cursor:
            break
    assert ["CORRECTED", "DOWNGRADED", "WATCHED", "WATCHED", "UPGRADED"] == found
    before = await get(running, path, known_at="2025-04-05")
    assert found[1:] == [one["cause"] for one in before["decisions"]]


async def stayed(running: Site) -> list[UUID]:
    """Bring a member who never rose, by a cent a day, and one who is Gold and stayed so."""
    world = running.world
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    found = await world.members(2)
    for number, daily_minor in ((1, 49_999_99), (2, 499_999_99)):
        for month in ("2025-06", "2025-07"):
            await world.month(world.name(number), month, daily_minor)
    for member in found:
        for month in ("2025-06", "2025-07"):
            await world.evaluate(month, member)
    return found


async def test_a_month_that_changed_nothing_is_explained(running: Site) -> None:
    """X-6, G-AVG-2: who never rose, and who stayed, read why, and what keeps or raises it."""
    poor, short = await stayed(running)
    found = list[dict[str, Any]]()
    for member in (poor, short):
        answer = await get(running, f"/v1/members/{member}/standing")
        found += answer["standings"]
    assert [None, "UPGRADED"] == [one["decision"] and one["decision"]["cause"] for one in found]
    told = [one["last_month"] for one in found]
    assert [("2025-07", "BASE", "GOLD"), ("2025-07", "GOLD", "GOLD")] == [
        (one["month"], one["after"], one["compared_with"]) for one in told
    ]
    assert [-31, 449_999_99 * 31] == [one["margin_minor"] for one in told]
    assert "49,999.99 (31 of 31 days known); 50,000.00 needed; not reached" in told[0]["why"]["en"]
    assert "未达标" in told[0]["why"]["zh"]
    assert [None, "a daily average of 50,000.00"] == [
        one["kept_by"] and one["kept_by"]["en"] for one in told
    ]
    assert ["a daily average of 50,000.00", "a daily average of 500,000.00"] == [
        one["raised_by"]["en"] for one in told
    ]
    assert (
        "日均500,000.00" == told[1]["raised_by"]["zh"] == found[1]["decision"]["raised_by"]["zh"]
    )
    before = await get(running, f"/v1/members/{poor}/standing", as_of="2025-08-01")
    assert before["standings"][0]["last_month"] is None


async def test_the_page_explains_a_month_that_changed_nothing(running: Site, phone: Phone) -> None:
    """X-6: in both languages, with what keeps the tier and reaches the next; so does the API."""
    poor, short = await stayed(running)
    assert "/page/tiers?lang=en" in await phone.enter(poor)
    _, html = await phone.get("/page/tiers?lang=en")
    assert "July 2025 daily average 49,999.99 (31 of 31 days known); 50,000.00 needed" in html
    assert ["On the way to Gold"] == re.findall(r"<dt>(Keeping .*|On the way .*)</dt>", html)
    await phone.enter(short, "zh")
    _, html = await phone.get("/page/tiers?lang=zh")
    for words in ("自2025年7月1日起为金卡", "2025年7月日均499,999.99", "日均500,000.00"):
        assert words in html
    assert ["等级评定依据", "最近一次评定的月份", "保持金卡", "升级至白金"] == re.findall(
        "<dt>(.*?)</dt>", html
    )
    tiers = [
        (await get(running, f"/v1/members/{member}/benefits"))["programmes"][0]["tier"]
        for member in (poor, short)
    ]
    assert [(None, "日均50,000.00"), ("日均50,000.00", "日均500,000.00")] == [
        (one["kept_by"] and one["kept_by"]["zh"], one["raised_by"]["zh"]) for one in tiers
    ]


async def test_bad_times_and_unknown_members_are_refused(running: Site) -> None:
    """Each in the caller's terms."""
    member = await lived(running)
    path = f"/v1/members/{member}/standing"
    status, _, body = await ask(running, "GET", path, "auditor", params={"as_of": "soon"})
    assert (422, "time_invalid") == (status, body["code"])
    status, _, body = await ask(
        running, "GET", path.replace(str(member), str(UUID(int=5))), "auditor"
    )
    assert (404, "unknown_member") == (status, body["code"])


async def test_a_decision_is_made_again_from_what_was_known(running: Site) -> None:
    """X-6, C-7: its days are told, nothing comes out otherwise, and a changed row is found."""
    member = await lived(running)
    listed = (await get(running, f"/v1/members/{member}/decisions"))["decisions"]
    again = {
        one["id"]: await get(running, f"/v1/members/{member}/decisions/{one['id']}")
        for one in listed
    }
    assert [(one, []) for one in listed] == [
        (again[one["id"]]["decision"], again[one["id"]]["differs"]) for one in listed
    ]
    (fell,) = [one["id"] for one in listed if one["cause"] == "DOWNGRADED"]
    days = again[fell]["days"]
    assert (31, "2025-03-01", "2025-03-31") == (len(days), days[0]["day"], days[-1]["day"])
    assert {("49900000", True, False)} == {
        (day["counted_minor"], day["known"], day["filled"]) for day in days
    }
    await change(
        running.world,
        "SET LOCAL session_replication_role = replica",
        f"UPDATE tier_decision SET sum_minor = sum_minor + 1 WHERE decision_id = '{fell}'",
    )
    path = f"/v1/members/{member}/decisions"
    assert ["sum_minor"] == (await get(running, f"{path}/{fell}"))["differs"]
    status, _, body = await ask(running, "GET", f"{path}/{member}", "auditor")
    assert (404, "unknown_decision") == (status, body["code"])
