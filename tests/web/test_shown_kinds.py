"""What the bank does itself, what is sent, and visits that are entered: claimed and shown."""

from datetime import timedelta
from uuid import UUID

from benefits.domain.corrections import Kind as How
from benefits.domain.corrections import Why
from benefits.domain.orders import Done, PartlyUsed, Used
from benefits.domain.programme_file import read
from tests.actions import life
from tests.actions.desk import correct
from tests.actions.life import claimed, holder, number_of, states, wallet, wish
from tests.domain.test_kinds import GIFT, PASS, TEXT, WAIVER
from tests.web.phone import Phone
from tests.web.site import Site


async def shown(phone: Phone, claim_id: UUID) -> str:
    """Return a claim's view."""
    status, html = await phone.get(f"/page/claims/{claim_id}?lang=en")
    assert 200 == status
    return " ".join(html.split())


async def test_what_the_bank_does_itself_is_done_as_it_is_claimed(
    running: Site, phone: Phone
) -> None:
    """In the claim's transaction and asking nobody; it is paid, and two people undo it (V-1)."""
    world = running.world
    await world.apply(read(TEXT + WAIVER))
    member = await holder(world, "WAIVER", 2)
    await phone.enter(member)
    _, html = await phone.get("/page/benefits/WAIVER?lang=en")
    assert "We do it at once. Nothing more to do." in html
    status, html = await phone.send(await phone.review("WAIVER"))
    assert (200, ["ISSUED"], (1, 0)) == (
        status,
        await states(world),
        await wallet(world, member, "WAIVER"),
    )
    assert [] == await life.lease(world)
    ((claim_id,),) = await world.rows("SELECT claim_id FROM claim")
    html = await shown(phone, claim_id)
    assert "It is done. Nothing more to do." in html
    assert "provider" not in html.partition("<main")[2]
    assert (0, 2000) == await life.counter(world, "budget:lounge")
    why = {"why": Why.GOODWILL, "claim_id": claim_id}
    assert "ok" == await correct(world, How.REVERSE, member, 1, **why)
    assert (2, 0) == await wallet(world, member, "WAIVER")
    assert (0, 0) == await life.counter(world, "budget:lounge")
    assert [] == await world.findings()


async def test_what_is_sent_is_on_its_way_until_it_is_signed_for(
    running: Site, phone: Phone
) -> None:
    """Its unit is held until then; of entered visits each takes its own (V-1, V-5)."""
    world = running.world
    await world.apply(read(TEXT + GIFT + PASS))
    member = await holder(world, "GIFT")
    await life.give(world, life.gift(member, "PASS", quantity=3))
    gift, visits = await claimed(
        world,
        wish(member, "GIFT", recipient={}),
        wish(member, "PASS", quantity=3, recipient={}),
    )
    for claim_id in (gift, visits):
        await life.call_back(world, await number_of(world, claim_id), Done(at=world.clock()))
    await phone.enter(member)
    assert "It is on its way to you." in await shown(phone, gift)
    _, html = await phone.get("/page?lang=en")
    assert "On its way" in html
    assert (0, 1) == await wallet(world, member, "GIFT")
    later = world.clock() + timedelta(hours=1)
    world.clock.forward(hours=2)
    await life.call_back(world, await number_of(world, gift), Used(at=later))
    await phone.enter(member)
    html = await shown(phone, gift)
    assert "You have received it." in html
    assert "Signed for" in html
    number = await number_of(world, visits)
    await life.call_back(world, number, PartlyUsed(at=later, used=2))  # a member and a guest
    assert "You have used some of it; the rest is yours." in await shown(phone, visits)
    await life.call_back(world, number, Used(at=later + timedelta(minutes=5)))
    assert ["REDEEMED", "REDEEMED"] == await states(world)
    assert ((0, 0), (0, 0)) == (
        await wallet(world, member, "GIFT"),
        await wallet(world, member, "PASS"),
    )
    assert [] == await world.findings()
