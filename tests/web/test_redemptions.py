"""Merchants' systems tell of uses and undo them; the claim says what the provider answered."""

from datetime import timedelta
from typing import Any

from benefits.domain.orders import Done, Reason, RedeemBy, Rejected, Reversed, Used
from tests.actions.life import lease, provider_can, record
from tests.builders import NOON
from tests.web.site import Site
from tests.web.test_mobile import WISH, call, platinum


async def test_a_claim_tells_of_its_uses(running: Site) -> None:
    """Requested, done, reversing, reversed, refused; the key again gives the same redemption."""
    await provider_can(running.world, redeem_by=RedeemBy.US, reverse=True)
    member = await platinum(running)
    _, _, claim = await call(running, "POST", f"/v1/members/{member}/claims", key="c", json=WISH)
    path = f"/v1/claims/{claim['id']}"

    async def uses() -> list[tuple[str, str]]:
        _, _, seen = await call(running, "GET", path)
        return [(use["state"], use["reason"]) for use in seen["redemptions"]]

    async def tell(key: str, where: str = "redemptions") -> tuple[int, Any]:
        headers = running.headers(running.crm_key)
        status, _, body = await call(
            running, "POST", f"{path}/{where}", headers=headers, key=key, json={}
        )
        return status, body

    async def answered(outcome: Any) -> None:
        (work,) = await lease(running.world)
        await record(running.world, work, outcome)

    assert "order_not_usable" == (await tell("early"))[1]["code"]
    await answered(Done(at=NOON, reference="R1"))
    status, redemption = await tell("a")
    assert ((201, redemption), [("REQUESTED", "")]) == (await tell("a"), await uses())
    assert 201 == status
    await answered(Used(at=NOON))
    undo = f"redemptions/{redemption['id']}/reverse"
    assert ([("DONE", "")], 201) == (await uses(), (await tell("b", undo))[0])
    assert [("REVERSING", "")] == await uses()
    await answered(Reversed(at=NOON + timedelta(hours=1)))
    assert "redemption_not_final" == (await tell("d", undo))[1]["code"]
    running.world.clock.forward(seconds=1)
    await tell("e")
    await answered(Rejected(Reason.LIMIT, "limit"))
    assert [("REVERSED", ""), ("REFUSED", "limit")] == await uses()
    _, _, seen = await call(running, "GET", path)
    assert ("ISSUED", 0, None) == (seen["state"], seen["used"], seen["ended_at"])
