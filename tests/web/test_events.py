"""What the CRM follows: the feed over HTTP, and the catalogue of all that can be told."""

import ast
import re
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from benefits.domain.events import EVENTS, REASONS
from benefits.domain.orders import OrderState
from benefits.domain.values import bucket_of
from benefits.web import cursors, events
from tests.tidy.sources import ROOT, files, tree
from tests.web.site import Site
from tests.web.test_mobile import WISH, call, platinum


async def follow(site: Site, **query: Any) -> tuple[int, Any]:
    """Ask for a page of the feed as the CRM."""
    async with (
        aiohttp.ClientSession(site.url) as http,
        http.get("/v1/events", params=query, headers=site.headers(site.crm_key)) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_the_feed_tells_what_happened_to_everybody(running: Site) -> None:
    """Tier, entitlements, claims, each with its data; then nothing more, but a cursor."""
    member = await platinum(running)
    await call(running, "POST", f"/v1/members/{member}/claims", json=WISH, key="k")
    status, page = await follow(running)
    assert (200, True) == (status, page["caught_up"])
    assert ["tier.upgraded", "entitlement.granted", "entitlement.granted", "claim.placed"] == [
        event["type"] for event in page["events"]
    ]
    assert [1, 2, 3, 4] == [event["sequence"] for event in page["events"]]
    assert {str(member)} == {event["member_id"] for event in page["events"]}
    tier, claim = page["events"][0]["data"], page["events"][3]["data"]
    assert ("2025-06", "BASE", "PLATINUM", 0) == (
        *(tier["month"], tier["from"], tier["to"]),
        tier["misses"],
    )
    ((hold_id,),) = await running.world.rows("SELECT hold_id FROM hold")
    assert {
        "benefit": "LOUNGE",
        "quantity": 1,
        "programme": "wealth",
        "programme_version": 1,
        "window": "",
        "hold_id": str(hold_id),
        "claimed_at": "2025-07-02T04:00:00Z",
        "limits": [],
        "companions": 0,
        "use_until": None,
        "instead_of": None,
        "booked_for": None,
        "cancel_until": None,
    } == claim
    status, after = await follow(running, cursor=page["next"])
    assert (200, [], True, page["next"]) == (
        *(status, after["events"], after["caught_up"]),
        after["next"],
    )


async def test_an_empty_feed_gives_a_cursor_too(running: Site) -> None:
    """Whoever starts before anything happened misses nothing."""
    _, page = await follow(running)
    assert ([], True) == (page["events"], page["caught_up"])
    await platinum(running)
    _, after = await follow(running, cursor=page["next"])
    assert 3 == len(after["events"])


async def test_an_event_of_another_version_does_not_stop_the_feed(running: Site) -> None:
    """It is told as it stands, and so is what comes after it."""
    member = await running.world.member()
    for seq, kind, data in ((1, "tier.melted", '{"a": 1}'), (2, "claim.placed", '{"b": 2}')):
        await running.world.rows(
            """
            INSERT INTO outbox (bucket, member_id, seq, event_id, type, data, recorded_at,
                                position)
            VALUES ($1, $2, $3, $4, $5, $6, now(), event_position()) RETURNING seq
            """,
            *(bucket_of(member), member, seq, uuid4(), kind, data),
        )
    status, page = await follow(running)
    assert (200, [{"a": 1}, {"b": 2}]) == (status, [event["data"] for event in page["events"]])


async def test_filters_name_types_or_their_beginning(running: Site) -> None:
    """Several at once; what names nothing is a mistake, not an empty feed."""
    member = await platinum(running)
    await call(running, "POST", f"/v1/members/{member}/claims", json=WISH, key="k")
    for types, expected in (
        (["tier."], {"tier.upgraded"}),
        (["claim.placed", "tier."], {"claim.placed", "tier.upgraded"}),
        (["order."], set[str]()),
    ):
        status, page = await follow(running, types=types)
        assert (200, expected) == (status, {event["type"] for event in page["events"]})
    for wrong in (["order"], ["order.lost"], ["%"], [""], ["tier."] * 21):
        status, problem = await follow(running, types=wrong)
        assert (400, "request_invalid") == (status, problem["code"])


async def test_a_cursor_that_is_not_ours_is_refused(running: Site) -> None:
    """Cut, mistyped, invented, another list's, far too long: never an error of ours."""
    await platinum(running)
    _, page = await follow(running, limit=1)
    good = page["next"]
    swapped = good[:-1] + ("A" if good[-1] != "A" else "B")
    for bad in ("", "x", "ü", good[:-1], good + "A", good + "=", swapped, "A" * 500, "e12"):
        status, problem = await follow(running, cursor=bad)
        assert (400, "cursor_invalid") == (status, problem["code"]), bad
    for place in (
        (0, -1, 0, uuid4(), 1),
        (0, 1, -40000, uuid4(), 1),
        (0, 1, 99999, uuid4(), 1),
        (0, 1, 0, uuid4(), 2**63),
    ):
        status, problem = await follow(running, cursor=cursors.write("events", place))
        assert (400, "cursor_invalid") == (status, problem["code"]), place
    assert 2 == len((await follow(running, cursor=good))[1]["events"])


async def test_a_mobile_bank_does_not_follow_everybody(running: Site) -> None:
    """The feed needs a scope of its own."""
    status, _, problem = await call(running, "GET", "/v1/events")
    assert (403, "forbidden") == (status, problem["code"])


def _told() -> set[str]:
    """Return every event type that stands as a text in the actions."""
    texts = {
        node.value
        for path in files("benefits/actions")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {
        t
        for t in texts
        if re.fullmatch(
            r"(tier|entitlement|claim|wait|order|case|member|loss|charge|budget|rule|codes)"
            r"\.[a-z_]+",
            t,
        )
    }


def test_every_event_that_is_emitted_is_in_the_catalogue() -> None:
    """Those named in the actions, and one for each state an order can move to."""
    moved = {f"order.{state.value.lower()}" for state in OrderState} - {"order.submitted"}
    assert set(EVENTS) == _told() | moved


def test_every_type_has_a_view_with_its_data() -> None:
    """The document's event schemas and the catalogue are one list."""
    shown = dict[str, type]()
    for view in get_args(events.Event):
        fields = {field.name: field.type for field in msgspec.structs.fields(view)}
        shown |= dict.fromkeys(get_args(fields["type"]), fields["data"])
    assert {name: kind.data for name, kind in EVENTS.items()} == shown


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_no_event_has_room_for_personal_data(kind: str) -> None:
    """The fields of an event's data are codes, counts and instants; a new one is looked at."""
    known = {"programme", "month", "before", "after", "misses", "effective_from", "benefit", "way"}
    known |= {"quantity", "cause", "period", "expires_at", "unit", "reason", "claim_id"}
    known |= {"expired", "made_good", "taken", "owed", "borne", "delivered", "line", "quota"}
    known |= {"window", "hold_id", "claimed_at", "programme_version", "lot_id", "digest", "state"}
    known |= {"tier", "day", "threshold_minor", "projected_minor", "needed_daily_minor", "ended"}
    known |= {
        "booked_for",
        "cancel_until",
        "choice",
        "companions",
        "instead_of",
        "welcome_until",
        "used",
        "refusal",
    }
    known |= {"cap", "use_until", "limits", "budget", "percent", "total_minor", "taken_minor"}
    known |= {"granted_at", "merged", "into"}  # ids of members, which only our key can make
    known |= {"provider", "amount_minor", "fault", "priority", "missing"}
    known |= {"scope", "target", "from_at", "until", "version", "first_month"}
    known |= {"sku", "free", "below", "limit", "ends_at"}
    assert {field.name for field in msgspec.structs.fields(EVENTS[kind].data)} <= known
    assert "" in REASONS


def test_the_catalogue_is_written_down() -> None:
    """Each type stands in the page for those who adopt the API."""
    text = Path(ROOT, "docs", "api.md").read_text()
    assert [] == [kind for kind in EVENTS if f"`{kind}`" not in text]


async def test_instants_in_events_are_utc_with_z(running: Site) -> None:
    """One way to write an instant, also inside `data`."""
    await platinum(running)
    _, page = await follow(running)
    told = [
        text
        for event in page["events"]
        for name, text in event["data"].items()
        if name in {"expires_at", "effective_from"}
    ]
    assert told
    assert all(text.endswith("Z") for text in told)
