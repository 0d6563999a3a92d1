"""Feeds over HTTP: chunks are kept once, a day counts when its manifest matches."""

import io
from hashlib import sha256
from typing import Any

import aiohttp
import pytest

from benefits.actions import seal_feed
from benefits.domain.feeds import digest_of
from benefits.worker import Worker
from tests.actions.feeding import fed, sums
from tests.web.phone import platinum
from tests.web.site import Site

HEADER = "customer,asset_class,currency,balance\n"
DAY = "/v1/feeds/core/2025-06-03"
Answer = tuple[int, Any]


async def ask(running: Site, method: str, path: str, body: Any = None) -> Answer:
    """Ask as the CRM does, with CSV or JSON; return the status and the answer."""
    sent: dict[str, Any] = {"json": body} if isinstance(body, dict) else {}
    if isinstance(body, str | bytes | io.BytesIO):
        sent = {"data": body.encode() if isinstance(body, str) else body}
    headers = running.headers(running.crm_key, **({"Content-Type": "text/csv"} if sent else {}))
    if "json" in sent:
        headers = running.headers(running.crm_key)
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.request(method, path, headers=headers, **sent) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


def lines(running: Site, *balances: str) -> str:
    """Write a chunk with a balance for each member, the first one first."""
    return HEADER + "".join(
        f"{running.world.name(nth)},DEPOSIT,CNY,{balance}\n"
        for nth, balance in enumerate(balances, 1)
    )


def manifest(rows: int, total: str, *chunks: str) -> dict[str, Any]:
    """Say of chunks what they are."""
    digest = digest_of(sha256(chunk.encode()).digest() for chunk in chunks)
    return {"rows": rows, "totals": {"CNY": total}, "sha256": digest}


async def send(running: Site, feed: str, *chunks: str) -> None:
    """Open a feed and send its chunks, the last one first."""
    assert 201 == (await ask(running, "PUT", feed))[0]
    for number in range(len(chunks), 0, -1):
        status, told = await ask(running, "PUT", f"{feed}/chunks/{number}", chunks[number - 1])
        assert (201, []) == (status, told["errors"])


async def test_a_day_is_sent_in_chunks_and_counts_when_sealed(running: Site) -> None:
    """C-9: the same again is the same; the state tells what was received, then what counts."""
    await fed(running.world)
    await running.world.members(3)
    feed = f"{DAY}/0"
    one, two = lines(running, "5.00", "6.00"), HEADER + f"{running.world.name(3)},DEPOSIT,CNY,1\n"
    await send(running, feed, one, two)
    assert (200, "OPEN") == _state(await ask(running, "PUT", feed))
    status, again = await ask(running, "PUT", f"{feed}/chunks/1", one)
    assert (200, 2, sha256(one.encode()).hexdigest()) == (status, again["lines"], again["sha256"])
    conflict = await ask(running, "PUT", f"{feed}/chunks/1", two)
    assert (409, "chunk_conflict") == _code(conflict)
    _, seen = await ask(running, "GET", feed)
    assert ("OPEN", 2, 3, 0.0) == (seen["state"], seen["chunks"], seen["lines"], seen["applied"])
    assert {} == await sums(running.world)
    said = manifest(3, "12.00", one, two)
    sealed = await ask(running, "PUT", f"{feed}/manifest", said)
    assert (200, "SEALED") == _state(sealed)
    assert ({"CNY": "12.00"}, {**said, "kind": "FULL"}, 1.0) == (
        sealed[1]["totals"],
        sealed[1]["manifest"],
        sealed[1]["applied"],
    )
    assert 1200 == sum((await sums(running.world)).values())
    assert sealed == await ask(running, "PUT", f"{feed}/manifest", said)
    assert sealed == await ask(running, "GET", feed)
    assert 200 == (await ask(running, "PUT", f"{feed}/chunks/2", two))[0]
    other = await ask(running, "PUT", f"{feed}/manifest", {**said, "rows": 4})
    assert (409, "manifest_conflict") == _code(other)
    _, told = await ask(running, "GET", "/v1/feeds:missing?month=2025-06")
    (missing,) = told["missing"]
    assert ("wealth", "core", 29) == (
        missing["programme"],
        missing["source"],
        len(missing["days"]),
    )
    assert "2025-06-03" not in missing["days"]


async def test_a_feed_that_is_not_as_said_is_refused_whole(running: Site) -> None:
    """G-FEED-1: all reasons in the problem, again when asked again; bad lines among them."""
    await fed(running.world)
    await running.world.members(2)
    feed = f"{DAY}/0"
    chunk = lines(running, "5.00", "6.001")
    await ask(running, "PUT", feed)
    _, told = await ask(running, "PUT", f"{feed}/chunks/2", chunk)
    assert (1, ["chunk 2, line 3: balance: 6.001 has more than 2 decimals"]) == (
        told["bad_lines"],
        told["errors"],
    )
    for _ in "ab":
        refused = await ask(running, "PUT", f"{feed}/manifest", manifest(3, "11.00", chunk))
        assert (422, "feed_refused") == _code(refused)
        assert "chunks: 1 is missing" in refused[1]["detail"]
        assert "rows: the manifest says 3, received 2" in refused[1]["detail"]
    assert {} == await sums(running.world)
    _, seen = await ask(running, "GET", feed)
    assert ("REFUSED", 1, 4) == (seen["state"], seen["bad_lines"], len(seen["reasons"]) - 1)
    late = await ask(running, "PUT", f"{feed}/chunks/1", lines(running, "1.00"))
    assert (409, "feed_closed") == _code(late)


async def test_a_long_feed_is_sealed_by_the_worker(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is 202 until then, and the same manifest asks how far it is."""
    monkeypatch.setattr(seal_feed, "AT_ONCE", 1)
    await fed(running.world)
    await running.world.members(2)
    chunk, feed = lines(running, "5.00", "6.00"), f"{DAY}/0"
    await send(running, feed, chunk)
    said = manifest(2, "11.00", chunk)
    assert (202, "WAITING") == _state(await ask(running, "PUT", f"{feed}/manifest", said))
    worker = Worker(running.world.database, running.world.parts, {})
    assert await worker.apply_feeds()
    applied = await ask(running, "PUT", f"{feed}/manifest", said)
    assert (202, "APPLYING", 0.5) == (*_state(applied), applied[1]["applied"])
    assert await worker.apply_feeds()
    assert (200, "SEALED") == _state(await ask(running, "PUT", f"{feed}/manifest", said))
    assert not await worker.apply_feeds()


async def test_a_day_of_changes_waits_for_the_day_before(running: Site) -> None:
    """A-2: it is taken in any order, says which day it waits for, and counts after it."""
    await fed(running.world)
    await running.world.members(2)
    all_, changed = lines(running, "5.00", "6.00"), lines(running, "1.00")
    delta = {**manifest(1, "1.00", changed), "kind": "DELTA"}
    await send(running, f"{DAY}/0", changed)
    status, waiting = await ask(running, "PUT", f"{DAY}/0/manifest", delta)
    assert (202, "WAITING", "2025-06-02") == (status, waiting["state"], waiting["waits_for"])
    first, before = "/v1/feeds/core/2025-06-01/0", "/v1/feeds/core/2025-06-02/0"
    await send(running, first, changed)
    refused = await ask(running, "PUT", f"{first}/manifest", delta)
    assert (422, "manifest_invalid") == _code(refused)
    await send(running, before, all_)
    said = manifest(2, "11.00", all_)
    assert (200, "SEALED") == _state(await ask(running, "PUT", f"{before}/manifest", said))
    assert await Worker(running.world.database, running.world.parts, {}).apply_feeds()
    _, sealed = await ask(running, "PUT", f"{DAY}/0/manifest", delta)
    assert ("SEALED", None, delta) == (sealed["state"], sealed["waits_for"], sealed["manifest"])
    assert {600, 1200} == set((await sums(running.world)).values())


async def test_a_feed_of_decided_months_says_so_until_they_are_decided_anew(
    running: Site,
) -> None:
    """A-7: the answer names what was decided before; evaluating the last of it settles that."""
    world = running.world
    await fed(world)
    member = await platinum(running)
    await world.evaluate("2025-06", member)
    world.clock.forward(seconds=1)
    chunk, feed = lines(running, "5.00"), f"{DAY}/0"
    await send(running, feed, chunk)
    _, sealed = await ask(running, "PUT", f"{feed}/manifest", manifest(1, "5.00", chunk))
    assert [{"programme": "wealth", "month": "2025-06"}] == sealed["decided_before"]
    world.clock.forward(seconds=1)
    await world.evaluate("2025-06", member)
    assert [] == (await ask(running, "GET", feed))[1]["decided_before"]


async def test_feeds_are_listed_by_cursor(running: Site) -> None:
    """By day, source and revision; a month alone if wanted."""
    await fed(running.world)
    names = ["2025-05-31/0", "2025-06-01/0", "2025-06-01/1"]
    for name in reversed(names):
        await ask(running, "PUT", f"/v1/feeds/core/{name}")
    seen, path = list[str](), "/v1/feeds?limit=2"
    while path:
        _, page = await ask(running, "GET", path)
        seen += [f"{one['date']}/{one['revision']}" for one in page["feeds"]]
        path = page["next"] and f"/v1/feeds?limit=2&cursor={page['next']}"
    assert names == seen
    _, june = await ask(running, "GET", "/v1/feeds?month=2025-06")
    assert (2, None) == (len(june["feeds"]), june["next"])


async def test_bytes_that_are_no_text_are_bad_lines_or_no_header(running: Site) -> None:
    """Whatever is sent, the answer is one: a header must be read, a line is told as not valid."""
    await fed(running.world)
    await ask(running, "PUT", f"{DAY}/0")
    for header in (b"", b"\xff\n", b"customer,\x00\n", b"\xef\xbb\xbf\n"):
        answer = await ask(running, "PUT", f"{DAY}/0/chunks/1", header)
        assert (422, "file_unreadable") == _code(answer), header
    lines_ = HEADER.encode() + b"\xff,DEPOSIT,CNY,1\nA,\x00,CNY,1\nA,DEPOSIT,CNY,1\r\n"
    status, told = await ask(running, "PUT", f"{DAY}/0/chunks/1", lines_)
    assert (201, 3, 2) == (status, told["lines"], told["bad_lines"]), told
    odd = {**manifest(0, "0", ""), "totals": {"CNY": "0\x00"}}
    assert (400, "request_invalid") == _code(await ask(running, "PUT", f"{DAY}/0/manifest", odd))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/feeds/CORE/2025-06-03/0", 400),
        ("GET", "/v1/feeds/core/2025-06-03/1000000001", 400),
        ("GET", "/v1/feeds/core/2025-06-31/0", 404),
        ("PUT", "/v1/feeds/core/2025-06-03/0/chunks/100001", 400),
        ("PUT", "/v1/feeds/core/1969-06-03/0", 422),
        ("PUT", "/v1/feeds/cores/2025-06-03/0", 422),
        ("GET", "/v1/feeds?month=2025-13", 400),
        ("GET", "/v1/feeds?month=9999-12", 400),
        ("GET", "/v1/feeds?month=2025-06%0A", 400),
        ("GET", "/v1/feeds:missing?month=2025-06%0A", 400),
        ("GET", "/v1/feeds/core%0A/2025-06-03/0", 400),
        ("GET", "/v1/feeds:missing?month=0000-01", 400),
        ("GET", "/v1/feeds?cursor=x", 400),
    ],
)
async def test_what_names_no_feed_is_refused(
    running: Site, method: str, path: str, status: int
) -> None:
    """Bounds hold in addresses, too."""
    await fed(running.world)
    assert status == (await ask(running, method, path))[0]


def _state(answer: Answer) -> tuple[int, str]:
    return answer[0], answer[1]["state"]


def _code(answer: Answer) -> tuple[int, str]:
    return answer[0], answer[1]["code"]
