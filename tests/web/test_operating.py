"""Operators look at orders that wait and at providers, pause them, and try again."""

from datetime import timedelta
from typing import Any

from benefits.actions import receive
from benefits.domain.orders import Done, NotSent, Unknown
from tests.actions import life
from tests.actions.life import claimed, holder, number_of, provider_can, states, wish
from tests.actions.test_reread import call
from tests.web.site import Site
from tests.web.test_operator import ask


async def test_orders_that_wait_are_listed_looked_at_and_tried_again(running: Site) -> None:
    """By state, provider, SKU and age, page by page; nothing of the person is shown."""
    world = running.world
    numbers = []
    for _ in range(3):
        (claim_id,) = await claimed(world, wish(await holder(world)))
        numbers.append(await number_of(world, claim_id))
        world.clock.forward(seconds=60)
    works = await life.lease(world)
    in_flight = next(work for work in works if work.call.number == numbers[2])
    for work in works:
        if work is not in_flight:
            evidence = "rejected for '13800000001 of oUpF8uMuAJO'"
            await life.record(world, work, Unknown(evidence, 7200))

    async def listed(**query: str) -> list[str]:
        seen, cursor = list[str](), ""
        while True:
            more = {"limit": "2", **query} | ({"cursor": cursor} if cursor else {})
            status, _, page = await ask(running, "GET", "/v1/orders", "auditor", params=more)
            assert 200 == status
            seen += [order["number"] for order in page["orders"]]
            if not (cursor := page["next"]):
                return seen

    assert numbers == await listed()
    assert numbers[:2] == await listed(state="UNKNOWN", provider="sandbox")
    assert numbers[2:] == await listed(state="SUBMITTED")
    assert numbers[:1] == await listed(older_than_s="150")
    assert [] == await listed(sku="other")
    path = f"/v1/orders/{numbers[0]}"
    _, _, seen = await ask(running, "GET", path, "operator")
    assert ("UNKNOWN", 180, 1) == tuple(seen["order"][k] for k in ("state", "age_s", "attempts"))
    assert ["rejected for '… of …'"] == [one["evidence"] for one in seen["tries"]]
    _, _, said = await ask(running, "POST", f"{path}/retry", "operator", key="w")
    assert ("provider_waits", []) == (said["code"], await life.lease(world))
    status, _, tried = await ask(running, "POST", f"{path}/retry?anyway=true", "operator", key="r")
    assert (200, True) == (status, tried["order"]["next_at"] < seen["order"]["next_at"])
    assert [numbers[0]] == [work.call.number for work in await life.lease(world)]
    for number, problem in (
        (numbers[2], "order_in_flight"),
        ("0" * 32, "unknown_order"),
        ("x", "unknown_order"),
    ):
        _, _, said = await ask(
            running, "POST", f"/v1/orders/{number}/retry", "operator", key=number
        )
        assert problem == said["code"]
    await life.record(world, in_flight, Unknown("timeout"))
    for number in numbers:
        await life.tell(world, number, Done(at=world.clock()))
    await life.work_off(world)
    assert [] == await listed()
    _, _, said = await ask(running, "POST", f"{path}/retry", "operator", key="t")
    assert "order_ended" == said["code"]


async def test_an_order_at_the_end_of_its_schedule_is_asked_about_through_it_again(
    running: Site,
) -> None:
    """Once as it is, to the schedule's end and under its number with `whole`, once under a key."""
    world = running.world
    await provider_can(world, query_schedule_s=(15, 60))
    (claim_id,) = await claimed(world, wish(await holder(world)))
    number = await number_of(world, claim_id)

    async def heard() -> list[str]:
        calls = list[str]()
        while works := await life.lease(world):
            for work in works:
                calls.append(f"{work.call.operation.value} {work.call.number}")
                await life.record(world, work, Unknown("timeout"))
            world.clock.forward(minutes=2)
        assert ["MANUAL"] == await states(world)
        return calls

    query = f"QUERY {number}"
    assert [f"ISSUE {number}", query, query] == await heard()
    retry = f"/v1/orders/{number}/retry"
    for path, key, code, calls in (
        (retry, "once", "", [query]),
        (f"{retry}?whole=true", "whole", "", [query, query]),
        (f"{retry}?whole=true", "whole", "", []),
        (retry, "whole", "idempotency_key_conflict", []),
    ):
        _, _, told = await ask(running, "POST", path, "operator", key=key)
        assert (code, calls) == (told.get("code", ""), await heard())


async def test_a_provider_is_paused_and_goes_on_and_who_said_so_stays(running: Site) -> None:
    """As a whole or one SKU, until somebody resumes it, even at that instant; once under a key."""
    world = running.world
    await claimed(world, wish(await holder(world)))
    path, until = "/v1/providers/sandbox/pause", world.clock() + timedelta(hours=1)
    sku = {"reason": "Nothing sold.", "sku": "video-month"}
    whole = {"reason": "Theirs.", "until": until.isoformat()}
    for count, body in enumerate((sku, whole), 1):
        status, _, seen = await ask(running, "POST", path, "operator", json=body, key=f"p{count}")
        assert (200, count) == (status, len(seen["pauses"]))
        assert [] == await life.lease(world)
    status, headers, _ = await ask(running, "POST", path, "operator", json=whole, key="p2")
    assert (200, "true") == (status, headers["Idempotency-Replayed"])
    path = "/v1/providers/sandbox/resume"
    for of in ("", "video-month"):
        assert [] == await life.lease(world)
        over = {"reason": "Over.", "sku": of}
        await ask(running, "POST", path, "operator", json=over, key=f"r{of}")
    (work,) = await life.lease(world)
    await life.record(world, work, NotSent("refused connection"))
    _, _, page = await ask(running, "GET", "/v1/providers", "auditor")
    (provider,) = page["providers"]
    assert ([], [("HELD", 1)]) == (
        provider["pauses"],
        [(one["state"], one["orders"]) for one in provider["orders"]],
    )
    words = "SELECT verb, sku, actor, reason FROM provider_word ORDER BY said_at"
    assert [
        ("PAUSE", "video-month", "operator", "Nothing sold."),
        ("PAUSE", "", "operator", "Theirs."),
        ("RESUME", "", "operator", "Over."),
        ("RESUME", "video-month", "operator", "Over."),
    ] == await world.rows(words)


async def test_callbacks_are_read_again_page_by_page_once_for_a_key(running: Site) -> None:
    """A verdict on each, before and now; a dry run tells the same, and nothing stays (V-4)."""
    world, path = running.world, "/v1/providers/sandbox/callbacks/reread"
    (claim_id,) = await claimed(world, wish(await holder(world)))
    number = await number_of(world, claim_id)
    for event_id, named in (("e1", "f" * 32), ("e2", number), ("e3", "e" * 32)):
        await call(world, event_id, named, "issued")
    async with world.database.transaction() as conn:
        await receive.give_up(conn, world.parts, "sandbox", "e2")
    await life.work_off(world)

    async def again(key: str, dry_run: str = "false", **body: Any) -> tuple[Any, Any]:
        status, headers, page = await ask(
            running,
            "POST",
            path,
            "operator",
            key=key,
            json=body,
            params={"dry_run": dry_run},
        )
        assert 200 == status, page
        seen = [(one["event_id"], one["was"], one["now"]) for one in page["callbacks"]]
        return seen, page | {"replayed": headers.get("Idempotency-Replayed")}

    first = [("e1", "NO_ORDER", "NO_ORDER"), ("e2", "FAILED", "APPLIED")]
    for _ in range(2):
        assert first == (await again("d", "true", limit=2))[0]
    assert ["HELD"] == await states(world)
    seen, page = await again("k", limit=2)
    assert (first, 1, ["ISSUED"]) == (seen, page["settled"], await states(world))
    replay, same = await again("k", limit=2)
    assert (seen, "true") == (replay, same["replayed"])
    assert page["callbacks"] == same["callbacks"]
    last, end = await again("l", limit=2, cursor=page["next"])
    assert ([("e3", "NO_ORDER", "NO_ORDER")], None) == (last, end["next"])
    assert ["e1", "e3"] == [one[0] for one in (await again("m"))[0]]
    later = page["callbacks"][1]["received_at"]
    assert ["e3"] == [one[0] for one in (await again("n", since=later))[0]]
    assert [] == (await again("o", since="9999-12-31T23:59:59-14:00"))[0]
    for other, body, problem in (
        (path, {"cursor": "x"}, "cursor_invalid"),
        (path, {"limit": 3}, "idempotency_key_conflict"),
        (path.replace("sandbox", "nobody"), {}, "unknown_provider"),
    ):
        _, _, said = await ask(running, "POST", other, "operator", key="k", json=body)
        assert problem == said["code"]


async def test_a_filter_is_refused_by_the_name_that_it_was_sent_by(running: Site) -> None:
    """And a pause until an instant that has no UTC is refused, not a failure of ours (V-3)."""
    for asked, name in (("orders?state=OPEN", "state"), ("orders?provider=%00", "provider")):
        status, _, said = await ask(running, "GET", f"/v1/{asked}", "operator")
        assert (400, name) == (status, said["detail"].partition(":")[0])
    body = {"reason": "Theirs.", "until": "9999-12-31T23:59:59-12:00"}
    path = "/v1/providers/sandbox/pause"
    status, _, said = await ask(running, "POST", path, "operator", json=body, key="p")
    assert (422, "pause_invalid") == (status, said["code"])
