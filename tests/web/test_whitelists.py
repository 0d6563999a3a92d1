"""Whitelists over real HTTP: sent whole by the CRM, the last one shown."""

from hashlib import sha256
from typing import Any

from tests.web.site import Site
from tests.web.test_feeds import ask

PATH = "/v1/whitelists/founders"


async def test_the_crm_sends_a_list_whole(running: Site) -> None:
    """The digest is that of the file it would be; again it is the same; who is unknown is told."""
    await running.world.members(2)
    customers = [running.world.name(1), "nobody", running.world.name(1)]
    said: dict[str, Any] = {"customers": customers, "ends_before": "2025-08-01"}
    assert (404, "unknown_whitelist") == problem(await ask(running, "GET", PATH))
    status, sent = await ask(running, "PUT", PATH, said)
    digest = sha256(f"customer\n{customers[0]}\nnobody\n".encode()).hexdigest()
    days = (sent["begins_on"], sent["ends_before"])
    assert (200, 1, digest, "2025-07-02", "2025-08-01") == (
        *(status, sent["members"], sent["sha256"]),
        *days,
    )
    assert ["nobody"] == sent.pop("unknown")
    assert (200, sent) == await ask(running, "GET", PATH)
    running.world.clock.forward(seconds=1)
    assert (200, {**sent, "unknown": ["nobody"]}) == await ask(running, "PUT", PATH, said)
    _, second = await ask(running, "PUT", PATH, {"customers": [running.world.name(2)]})
    assert (2, 1) == (second["snapshot"], second["members"])
    before = {"customers": [], "begins_on": "2025-07-01"}
    assert (422, "whitelist_invalid") == problem(await ask(running, "PUT", PATH, before))
    for path, body in (
        (PATH, {"customers": [""]}),
        (PATH, {"customers": ["a\n"]}),
        (PATH + "%0A", {"customers": []}),
    ):
        assert 400 == (await ask(running, "PUT", path, body))[0]


def problem(answer: tuple[int, Any]) -> tuple[int, str]:
    """Return the status and code of a problem."""
    status, body = answer
    return status, body["code"]
