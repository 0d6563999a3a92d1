"""The books over HTTP: a member's as of a time, the bank's totals, liability, vintages, months."""

import csv
import io
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from benefits.actions.close_month import close_month
from benefits.domain.orders import Done, Used
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.values import Month
from tests.actions import life
from tests.builders import PROGRAMME
from tests.web.site import Site
from tests.web.test_operator import ask, key_of

FINANCE = "/v1/ledger/"
BYS = ("unit", "benefit", "programme", "provider", "cost_centre")


async def lived(site: Site) -> UUID:
    """Give a member 3 lounge visits (1 used, 1 held), and 1 video that ended unused."""
    world = site.world
    member = await life.holder(world, "LOUNGE", quantity=3)
    await life.give(world, life.gift(member, "VIDEO", valid_days=1))
    (used,) = await life.claimed(world, life.wish(member, "LOUNGE"))
    number = await life.number_of(world, used)
    now = world.clock()
    await life.call_back(world, number, Done(at=now, reference="R", code="C"), Used(at=now))
    await life.claimed(world, life.wish(member, "LOUNGE"))
    world.clock.forward(days=3)
    return member


async def get(site: Site, path: str, scope: str = "auditor", **params: str) -> Any:
    """Read as a caller of a scope."""
    status, _, body = await ask(site, "GET", path, scope, params=params)
    assert 200 == status, body
    return body


async def text(site: Site, path: str, accept: str = "", **params: str) -> tuple[str, str]:
    """Return type and text of an answer."""
    headers = site.headers(await key_of(site, "auditor"))
    headers |= {"Accept": accept} if accept else {}
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.get(path, headers=headers, params=params) as answer,
    ):
        assert 200 == answer.status
        return answer.content_type, await answer.text()


async def test_a_member_is_read_as_of_a_time(running: Site) -> None:
    """Now, before it all, and as it was known then; what is asked is told again."""
    member = await lived(running)
    used = running.world.clock() - timedelta(days=3)
    path = f"/v1/members/{member}/balances"
    now = await get(running, path)
    lounge, video = now["balances"]
    assert ("BENEFIT:LOUNGE", 1, 1, 1, 0) == tuple(
        lounge[name] for name in ("unit", "available", "held", "redeemed", "expired")
    )
    assert (0, 1, True) == (video["available"], video["expired"], now["provisional"])
    day = await get(running, path, "crm", as_of="2025-07-01")
    assert ([], "2025-07-01T16:00:00Z") == (day["balances"], day["as_of"])
    known = (used - timedelta(seconds=1.5)).isoformat().replace("+00:00", "Z")
    then = await get(running, path, known_at=known)
    assert (False, known) == (then["provisional"], then["known_at"])
    (lounge,) = [one for one in then["balances"] if one["unit"] == "BENEFIT:LOUNGE"]
    assert (2, 1, 0) == (lounge["available"], lounge["held"], lounge["redeemed"])


async def test_lots_come_page_by_page(running: Site) -> None:
    """The oldest first, each once, their figures conserved."""
    member = await lived(running)
    path, seen, cursor = f"/v1/members/{member}/lots", list[Any](), None
    while True:
        page = await get(running, path, **{"limit": "1"} | ({"cursor": cursor} if cursor else {}))
        seen += page["lots"]
        cursor = page["next"]
        if cursor is None:
            break
    assert ["BENEFIT:LOUNGE", "BENEFIT:VIDEO"] == [lot["unit"] for lot in seen]
    parts = ("available", "held", "redeemed", "expired", "revoked", "moved")
    assert all(lot["granted"] == sum(lot[part] for part in parts) for lot in seen)


async def test_a_statement_tells_each_entry_with_its_postings(running: Site) -> None:
    """The last recorded first; money only to those who answer for it; by pages."""
    member = await lived(running)
    path = f"/v1/members/{member}/statement"
    whole = await get(running, path, "auditor", limit="100")
    kinds = [entry["kind"] for entry in whole["entries"]]
    assert ("entitlement.granted", "claim.placed", None) == (kinds[-1], kinds[0], whole["next"])
    first = await get(running, path, "auditor", limit="2")
    rest = await get(running, path, "auditor", cursor=first["next"], limit="100")
    assert whole["entries"] == first["entries"] + rest["entries"]
    for scope, units in (("auditor", {"BENEFIT", "MONEY"}), ("crm", {"BENEFIT"})):
        page = await get(running, path, scope, limit="100")
        told = {p["unit"].split(":")[0] for e in page["entries"] for p in e["postings"]}
        assert units == told
    assert [] == (await get(running, path, to="2025-07-01"))["entries"]
    assert [] == (await get(running, path, **{"from": "2025-07-02"}))["entries"]


@pytest.mark.parametrize("by", BYS)
async def test_totals_sum_to_zero_by_whatever_they_are_added_up(running: Site, by: str) -> None:
    """I2: of each key and unit; the unspent rest of ended lots has expired, swept or not."""
    await lived(running)
    before = await get(running, FINANCE + "totals", by=by)
    sums = Counter[tuple[str, str]]()
    for line in before["lines"]:
        sums[line["key"], line["unit"]] += Decimal(line["amount"])  # type: ignore[assignment]  # exact
    assert {0} == set(sums.values())
    expired = [one for one in before["lines"] if one["account"] == "expired"]
    assert [("BENEFIT:VIDEO", "1")] == [(one["unit"], one["amount"]) for one in expired]
    await life.expire_lots(running.world)
    assert before["lines"] == (await get(running, FINANCE + "totals", by=by))["lines"]
    ends = {"as_of": "2025-07-01", "by": by}
    assert [] == (await get(running, FINANCE + "totals", **ends))["lines"]


@pytest.mark.parametrize(("name", "least"), [("totals", 8), ("liability", 2), ("vintages", 2)])
async def test_reports_come_page_by_page_as_of_one_moment(
    running: Site, name: str, least: int
) -> None:
    """Pages are what the whole was, whatever happens meanwhile; a cursor fits its question."""
    await lived(running)
    world, path = running.world, FINANCE + name
    await life.holder(world, "VIDEO", quantity=2)
    world.clock.forward(seconds=10)
    whole = await get(running, path)
    assert (True, None) == (len(whole["lines"]) >= least, whole["next"])
    page, lines = await get(running, path, limit="1"), list[Any]()
    cursor = page["next"]
    await life.holder(world, "LOUNGE", quantity=2)
    world.clock.forward(days=40)
    while True:
        assert 1 == len(page["lines"])
        assert (whole["as_of"], whole["known_at"]) == (page["as_of"], page["known_at"])
        assert whole.get("sums") == page.get("sums")
        lines += page["lines"]
        if page["next"] is None:
            break
        page = await get(running, path, limit="1", cursor=page["next"])
    assert whole["lines"] == lines
    as_csv = await text(running, path, accept="text/csv", limit="1")
    assert 1 + len((await get(running, path))["lines"]) == as_csv[1].count("\n")
    for params in ({"cursor": "x"}, {"cursor": cursor, "as_of": "2025-07-01"}):
        status, _, problem = await ask(running, "GET", path, "auditor", params=params)
        assert (400, "cursor_invalid") == (status, problem["code"])


async def test_money_is_told_in_major_units_with_its_currency(running: Site) -> None:
    """38.00 was spent and is owed; 38.00 is reserved for the unit that is held."""
    await lived(running)
    totals = await get(running, FINANCE + "totals", by="unit")
    money = {
        line["account"]: (line["amount"], line["currency"])
        for line in totals["lines"]
        if line["currency"]
    }
    assert ("38.00", "CNY") == money["budget.spent"] == money["budget.reserved"]
    assert ("-38.00", "CNY") == money["provider.payable"]


async def test_liability_is_what_outstanding_units_cost(running: Site) -> None:
    """One lounge visit is available and one held, at 38.00; the video has ended."""
    await lived(running)
    for by, key in (
        ("benefit", "LOUNGE"),
        ("programme", "wealth"),
        ("provider", "sandbox"),
        ("cost_centre", "lounge"),
    ):
        told = await get(running, FINANCE + "liability", "approver", by=by)
        assert [(key, "76.00", "CNY")] == [
            (s["key"], s["liability"], s["currency"]) for s in told["sums"] if s["key"] == key
        ]
        (line,) = [one for one in told["lines"] if one["benefit"] == "LOUNGE"]
        assert (1, 1, "38.00", "76.00") == tuple(
            line[name] for name in ("available", "held", "unit_cost", "liability")
        )


async def test_vintages_by_month_of_grant_with_an_estimate_given_or_observed(
    running: Site,
) -> None:
    """Of ended video units none was used: breakage 1; lounge has none ended: all may be used."""
    await lived(running)
    told = await get(running, FINANCE + "vintages", "operator")
    assert [
        ("LOUNGE", "2025-07", 3, 1, 0, 2, "0.000000", "1.000000", "76.00"),
        ("VIDEO", "2025-07", 1, 0, 1, 0, "1.000000", "0.000000", "0.00"),
    ] == [
        (
            *(line["benefit"], line["month"], line["issued"], line["redeemed"], line["expired"]),
            *(line["outstanding"], line["breakage"], line["expected_use"], line["provision"]),
        )
        for line in told["lines"]
    ]
    half = await get(running, FINANCE + "vintages", expected_use="0.5")
    assert ["38.00", "0.00"] == [line["provision"] for line in half["lines"]]


async def test_every_report_comes_as_csv(running: Site) -> None:
    """By `format` or by Accept, with the lines of the JSON in the same order."""
    await lived(running)
    world = running.world
    world.clock.forward(days=40)
    await close_month(world.database, world.parts, Month(2025, 7), actor="finance")
    for name in ("totals", "liability", "vintages"):
        lines = (await get(running, FINANCE + name))["lines"]
        kind, written = await text(running, FINANCE + name, format="csv")
        read = list(csv.DictReader(io.StringIO(written)))
        assert ("text/csv", True) == (kind, len(lines) > 0)
        assert [{k: str(v) for k, v in line.items()} for line in lines] == [
            {k: v for k, v in row.items() if k not in {"as_of", "known_at", "provisional"}}
            for row in read
        ]
        assert (kind, written) == await text(running, FINANCE + name, "text/csv")
        assert (
            "application/json"
            == (await text(running, FINANCE + name, "text/csv", format="json"))[0]
        )
    _, written = await text(running, FINANCE + "months", format="csv")
    months = await get(running, FINANCE + "months")
    (month,) = months["months"]
    assert ("2025-07", "finance", "2025-08") == (
        month["month"],
        month["closed_by"],
        months["open_month"],
    )
    assert [(t["unit"], t["account"], t["amount"]) for t in month["totals"]] == [
        (row["unit"], row["account"], row["amount"])
        for row in csv.DictReader(io.StringIO(written))
    ]


async def test_closed_months_come_page_by_page(running: Site) -> None:
    """The latest first; before the first closing no month is named as open."""
    world = running.world
    empty = await get(running, FINANCE + "months")
    assert (None, [], None) == (empty["open_month"], empty["months"], empty["next"])
    await lived(running)
    world.clock.forward(days=70)
    for number in (7, 8):
        await close_month(world.database, world.parts, Month(2025, number), actor="finance")
        await life.expire_lots(world)
    first = await get(running, FINANCE + "months", limit="1")
    second = await get(running, FINANCE + "months", limit="1", cursor=first["next"])
    assert ["2025-08", "2025-07", None] == [
        first["months"][0]["month"],
        second["months"][0]["month"],
        second["next"],
    ]
    for more in ({}, {"limit": "1"}):
        _, written = await text(running, FINANCE + "months", format="csv", **more)
        told = [row["month"] for row in csv.DictReader(io.StringIO(written))]
        assert ["2025-08", "2025-07"] == list(dict.fromkeys(told))


async def test_a_past_answer_stays_when_the_programme_changes(running: Site) -> None:
    """I11: what a benefit belongs to is told as it stood when it was known."""
    await lived(running)
    world = running.world
    known = world.clock().isoformat().replace("+00:00", "Z")
    world.clock.forward(days=1)
    path = FINANCE + "liability"
    asked = {"known_at": known, "as_of": known, "by": "cost_centre"}
    before = await get(running, path, **asked)
    await world.apply(with_cost_centre())
    assert (False, before) == (before["provisional"], await get(running, path, **asked))
    now = await get(running, path, by="cost_centre")
    assert ["CC-42"] == [line["key"] for line in now["lines"] if line["benefit"] == "LOUNGE"]


def with_cost_centre() -> Programme:
    """Return the reference programme with a cost centre for the lounge's budget."""
    return read(
        PROGRAMME.replace('total = "10000.00"', 'total = "10000.00"\ncost_centre = "CC-42"')
    )


@pytest.mark.parametrize("name", ["as_of", "known_at"])
async def test_a_time_that_is_none_is_refused(running: Site, name: str) -> None:
    """With its own code, for members and for the bank."""
    member = await running.world.member()
    for path in (f"/v1/members/{member}/balances", FINANCE + "totals"):
        params = {name: "2025-06-31"}
        status, _, problem = await ask(running, "GET", path, "auditor", params=params)
        assert (422, "time_invalid") == (status, problem["code"])
