"""Label feeds over HTTP: chunks are kept once, labels count when their manifest matches."""

import io
from hashlib import sha256
from typing import Any

import pytest

from benefits.actions import seal_labels
from benefits.worker import Worker
from tests.actions.labelling import HEADER, carried, said
from tests.web.site import Site
from tests.web.test_feeds import ask

FEED = "/v1/label-feeds/2025-06/0"


def lines(running: Site, *labels: str) -> str:
    """Write a chunk with a label for each member, the first one first."""
    return HEADER + "".join(
        f"{running.world.name(nth)},{label},FACT,2025-01-01,\n"
        for nth, label in enumerate(labels, 1)
    )


def manifest(*chunks: str) -> dict[str, Any]:
    """Say of chunks what they are."""
    told = said([chunk.encode() for chunk in chunks])
    return {"rows": told.rows, "sha256": told.sha256}


async def send(running: Site, feed: str, *chunks: str) -> None:
    """Open a feed and send its chunks, the last one first."""
    assert 201 == (await ask(running, "PUT", feed))[0]
    for number in range(len(chunks), 0, -1):
        status, told = await ask(running, "PUT", f"{feed}/chunks/{number}", chunks[number - 1])
        assert (201, []) == (status, told["errors"])


async def test_labels_are_sent_in_chunks_and_count_when_sealed(running: Site) -> None:
    """C-9, S-1: the same again is the same; the state tells what came, then what counts."""
    await running.world.members(2)
    one, two = lines(running, "payroll"), lines(running, "payroll", "silver", "a stranger's")
    await send(running, FEED, one, two)
    assert (200, "OPEN") == _state(await ask(running, "PUT", FEED))
    status, again = await ask(running, "PUT", f"{FEED}/chunks/1", one)
    assert (200, 1, sha256(one.encode()).hexdigest()) == (status, again["lines"], again["sha256"])
    assert (409, "chunk_conflict") == _code(await ask(running, "PUT", f"{FEED}/chunks/1", two))
    _, seen = await ask(running, "GET", FEED)
    assert ("OPEN", 2, 4, 0.0) == (seen["state"], seen["chunks"], seen["lines"], seen["applied"])
    assert set() == await carried(running.world)
    told = manifest(one, two)
    sealed = await ask(running, "PUT", f"{FEED}/manifest", told)
    assert (200, "SEALED") == _state(sealed)
    assert (told, 1.0, 2, 1, 1, ["chunk 2, line 4: customer: not a member"]) == (
        *(sealed[1]["manifest"], sealed[1]["applied"], sealed[1]["kept"]),
        *(sealed[1]["unchanged"], sealed[1]["left_out"], sealed[1]["left_out_lines"]),
    )
    assert {"payroll", "silver"} == {one[0] for one in await carried(running.world)}
    assert sealed == await ask(running, "PUT", f"{FEED}/manifest", told)
    assert sealed == await ask(running, "GET", FEED)
    assert 200 == (await ask(running, "PUT", f"{FEED}/chunks/2", two))[0]
    other = await ask(running, "PUT", f"{FEED}/manifest", {**told, "rows": 4 + 1})
    assert (409, "manifest_conflict") == _code(other)


async def test_labels_that_are_not_as_said_are_refused_whole(running: Site) -> None:
    """All reasons in the problem, again when asked again; lines of no layer among them."""
    await running.world.members(2)
    chunk = lines(running, "payroll", "silver").replace("silver,FACT", "silver,FACTS")
    await ask(running, "PUT", FEED)
    bad = "chunk 1, line 3: layer: … is none of FACT, RULE, MODEL"
    _, told = await ask(running, "PUT", f"{FEED}/chunks/1", chunk)
    assert 1 == told["bad_lines"]
    assert told["errors"][0].startswith(bad)
    for _ in "ab":
        refused = await ask(running, "PUT", f"{FEED}/manifest", {**manifest(chunk), "rows": 3})
        assert (422, "feed_refused") == _code(refused)
        assert "rows: the manifest says 3, received 2" in refused[1]["detail"]
        assert bad in refused[1]["detail"]
    assert set() == await carried(running.world)
    _, seen = await ask(running, "GET", FEED)
    assert ("REFUSED", 1, 0.0) == (seen["state"], seen["bad_lines"], seen["applied"])
    late = await ask(running, "PUT", f"{FEED}/chunks/2", lines(running, "payroll"))
    assert (409, "feed_closed") == _code(late)


async def test_a_long_label_feed_is_sealed_by_the_worker(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is 202 until then, and the same manifest asks how far it is."""
    monkeypatch.setattr(seal_labels, "CHUNK", 1)
    await running.world.members(2)
    one, two = lines(running, "payroll"), lines(running, "silver")
    await send(running, FEED, one, two)
    told = manifest(one, two)
    assert (202, "WAITING") == _state(await ask(running, "PUT", f"{FEED}/manifest", told))
    worker = Worker(running.world.database, running.world.parts, {})
    assert await worker.take_labels()
    applied = await ask(running, "PUT", f"{FEED}/manifest", told)
    assert (202, "APPLYING", 0.5) == (*_state(applied), applied[1]["applied"])
    while await worker.take_labels():
        pass
    assert (200, "SEALED") == _state(await ask(running, "PUT", f"{FEED}/manifest", told))


async def test_label_feeds_are_listed_by_cursor(running: Site) -> None:
    """By version and revision."""
    names = ["2025-05/0", "2025-06/0", "2025-06/1"]
    for name in reversed(names):
        await ask(running, "PUT", f"/v1/label-feeds/{name}")
    seen, path = list[str](), "/v1/label-feeds?limit=2"
    while path:
        _, page = await ask(running, "GET", path)
        seen += [f"{one['version']}/{one['revision']}" for one in page["feeds"]]
        path = page["next"] and f"/v1/label-feeds?limit=2&cursor={page['next']}"
    assert names == seen


async def test_bytes_that_are_no_labels_are_bad_lines_or_no_header(running: Site) -> None:
    """Whatever is sent, the answer is one: a header must be read, a line is told as not valid."""
    await ask(running, "PUT", FEED)
    for header in (b"", b"\xff\n", b"customer,\x00\n", b"\xef\xbb\xbf\n", b"customer,label\n"):
        answer = await ask(running, "PUT", f"{FEED}/chunks/1", header)
        assert (422, "file_unreadable") == _code(answer), header
    strange = b"\xff,a,FACT,2025-01-01,\nA,\x00,FACT,2025-01-01,\nA,a,FACT,2025-01-01,\r\n"
    status, told = await ask(running, "PUT", f"{FEED}/chunks/1", HEADER.encode() + strange)
    assert (201, 3, 2) == (status, told["lines"], told["bad_lines"]), told
    long = await ask(running, "PUT", f"{FEED}/chunks/2", io.BytesIO(b"x" * (2**20 + 1)))
    assert (413, "body_too_large") == _code(long)
    odd = {"rows": 0, "sha256": "0" * 64, "totals": {}}
    assert (400, "request_invalid") == _code(await ask(running, "PUT", f"{FEED}/manifest", odd))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", FEED, 404),
        ("PUT", f"{FEED}/chunks/1", 404),
        ("PUT", "/v1/label-feeds/-x/0", 400),
        ("PUT", f"/v1/label-feeds/{'x' * 65}/0", 400),
        ("PUT", "/v1/label-feeds/x%0A/0", 400),
        ("PUT", "/v1/label-feeds/x/-1", 400),
        ("PUT", "/v1/label-feeds/x/1000000001", 400),
        ("PUT", f"{FEED}/chunks/0", 400),
        ("PUT", f"{FEED}/chunks/100001", 400),
        ("GET", "/v1/label-feeds?cursor=x", 400),
    ],
)
async def test_what_names_no_label_feed_is_refused(
    running: Site, method: str, path: str, status: int
) -> None:
    """Bounds hold in addresses, too."""
    body = HEADER if "chunks" in path else None
    assert status == (await ask(running, method, path, body))[0]


def _state(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["state"]


def _code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]
