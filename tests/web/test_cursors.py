"""Cursors that a caller wrote: they read well, and name places that no page ever gave."""

import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from benefits.domain.values import BUCKETS
from benefits.web import cursors
from tests.builders import NOON
from tests.tidy.sources import ROOT
from tests.web.site import Site
from tests.web.test_jobs import listed, send
from tests.web.test_operator import ask

TIMES = [
    datetime(2025, 6, 1),  # noqa: DTZ001 - without a zone it names no instant
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, tzinfo=UTC),
    "1970-01-01T00:00:00+14:00",
]
MARKS = [(at, uuid4()) for at in TIMES]
NUMBERS = [-(2**63), -1, 2**63 - 1, 2**64 - 1]
FEEDS = [
    {"source": source, "as_of": day, "revision": revision}
    for source, day, revision in (
        ("co\x00re", date(2025, 6, 1), 0),
        ("core", date(1, 1, 1), 0),
        ("core", date(9999, 12, 31), 0),
        ("core", date(2025, 6, 1), 2**60),
        ("core", date(2025, 6, 1), -(2**60)),
    )
]
EVENTS = [(0, 0, 0, uuid4(), number) for number in NUMBERS] + [
    (0, 0, number, uuid4(), 0) for number in NUMBERS
]
MONTHS = ["2025-13", "9999-12", "0000-01", "2025-06\n", "2025-06\x00"]


REPORTS = [
    {"known_at": at, "now": datetime(2025, 7, 1, tzinfo=UTC), "first": 1} for at in TIMES
] + [{"known_at": NOON, "now": NOON, "first": number} for number in (-1, 0, 2**63, "1")]
GROWTH = [{"bucket": -1}, {"bucket": BUCKETS}, {"bucket": 0, "after": "x"}]


def _strange(member: UUID, job: str) -> dict[str, tuple[str, str, list[Any]]]:
    """Return where each operation with a cursor lies, the kind of its cursors, and bad places."""
    of = f"/v1/members/{member}"
    return {
        "get_cases": ("/v1/cases", "open cases ", MARKS),
        "get_open_waits": ("/v1/waits", "open waits ", MARKS),
        "get_orders": ("/v1/orders", "orders   ", MARKS),
        "get_corrections": ("/v1/corrections", "corrections ", MARKS),
        "get_decisions": (f"{of}/decisions", f"decisions {member}", MARKS),
        "get_events": ("/v1/events", "events", EVENTS),
        "get_feeds": ("/v1/feeds", "feeds ", FEEDS),
        "get_label_feeds": (
            "/v1/label-feeds",
            "label feeds",
            [{"version": "x\x00", "revision": 0}, {"version": "x", "revision": 2**60}, ["x"]],
        ),
        "get_fills": ("/v1/fills", "fills ", MARKS),
        "get_growth": (
            "/v1/programmes/wealth/growth?baseline=none&month=2025-05",
            "growth wealth none 2025-05  (False, False)",
            GROWTH,
        ),
        "get_costs": (
            "/v1/ledger/costs?month=2025-06",
            "costs 2025-06",
            ["x", ["x"], {"after": ["x"]}, {"after": [1] * 6}],
        ),
        "get_history": (f"{of}/history", "history", NUMBERS),
        "get_job_rows": (f"/v1/jobs/{job}/rows", f"rows of {job} ", [(0, n) for n in NUMBERS]),
        "get_liability": ("/v1/ledger/liability", "liability benefit None None", REPORTS),
        "get_lots": (f"{of}/lots", f"lots {member}", MARKS),
        "get_months": ("/v1/ledger/months", "months", MONTHS),
        "get_outlook": (
            "/v1/programmes/wealth/outlook/NEAR",
            "outlook wealth NEAR",
            [str(member) + "\x00", "x", 1],
        ),
        "get_population": (
            "/v1/benefits/LOUNGE/population",
            "population LOUNGE ",
            ["x", 1, str(member) + "\x00"],
        ),
        "get_proposals": ("/v1/proposals", "proposals  ", MARKS),
        "get_statement": (f"{of}/statement", f"statement {member}", TIMES),
        "get_totals": ("/v1/ledger/totals", "totals unit None None", REPORTS),
        "get_waits": (f"{of}/waits", f"waits {member}", ["x", 1, str(member) + "\x00"]),
        "get_vintages": ("/v1/ledger/vintages", "vintages None None None", REPORTS),
    }


async def test_a_place_that_no_page_gives_is_refused(running: Site) -> None:
    """Instants without a zone or out of all time, texts and numbers the database cannot hold."""
    member = await running.world.member()
    _, _, sent = await send(running, listed([member], 1), "a key")
    answers = set[tuple[str, int, str]]()
    strange = _strange(member, sent["job"]["id"])
    for name, (path, kind, places) in strange.items():
        for place in places:
            params = {"cursor": cursors.write(kind, place)}
            status, _, told = await ask(running, "GET", path, "auditor", params=params)
            answers.add((name, status, told.get("code")))
    assert {(name, 400, "cursor_invalid") for name in strange} == answers


def test_every_list_with_a_cursor_is_asked() -> None:
    """Whatever takes a cursor is tried with strange ones."""
    document = json.loads((ROOT / "openapi" / "benefits.json").read_text())
    asked = {
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if any(one["name"] == "cursor" for one in operation.get("parameters", ()))
    }
    assert asked == _strange(UUID(int=0), "").keys()
