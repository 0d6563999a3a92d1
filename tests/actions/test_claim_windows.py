"""Claims within a benefit's dates, and what a claim keeps of until when it can be used (P-9)."""

from datetime import date, datetime, timedelta

from msgspec.structs import replace

from benefits.actions.keyed import Refused
from benefits.domain.benefit import Kind
from benefits.domain.orders import OrderState
from benefits.domain.programme import Programme
from benefits.domain.use import Length, Use
from tests.actions.life import change, claimed, decide, gift, give, wish
from tests.actions.limiting import ask, limited, local, rich
from tests.builders import World, reference_programme


def lounges(**more: object) -> Programme:
    """Return the reference programme with other lounges."""
    programme = reference_programme()
    lounge, video = programme.benefit
    return replace(programme, benefit=(replace(lounge, **more), video))


async def test_a_seasonal_voucher_is_claimed_on_its_days_alone(world: World) -> None:
    """P-9, C-4: from the first midnight to the last; the refusal names the days."""
    await limited(world, claim_from=date(2025, 7, 4), claim_until=date(2025, 7, 5))
    member = await rich(world, "VIDEO", 5)
    world.clock.now = local(2025, 7, 4) - timedelta(microseconds=1)
    (outcome,) = await decide(world, wish(member))
    assert isinstance(outcome, Refused)
    assert "claim_window" == outcome.code
    assert "It can be claimed from 2025-07-04 through 2025-07-05." in outcome.detail
    world.clock.now = local(2025, 7, 4)
    assert "ok" == await ask(world, member, "VIDEO")
    world.clock.now = local(2025, 7, 6) - timedelta(microseconds=1)
    assert "ok" == await ask(world, member, "VIDEO")
    world.clock.now = local(2025, 7, 6)
    assert "claim_window" == await ask(world, member, "VIDEO")
    assert [] == await world.findings()


async def kept(world: World) -> list[datetime | None]:
    """Return until when what was claimed can be used, in the order of the claims."""
    found = await world.rows("SELECT use_until FROM claim ORDER BY claimed_at, claim_id")
    return [row.use_until for row in found]


async def test_g_win_1_a_claim_keeps_until_when_it_can_be_used(world: World) -> None:
    """G-WIN-1: whole days or exact ones; what a later version says is of later claims (U-3)."""
    exact = Length.EXACT_DURATION
    world.clock.now = local(2025, 3, 31, 9)
    member = await world.member()
    await give(world, gift(member, "LOUNGE", quantity=5))
    for minute, use in enumerate((Use(days=30), Use(days=30, length=exact), None)):
        await world.apply(lounges(use=use))
        world.clock.now = local(2025, 3, 31, 15, minute)
        await claimed(world, wish(member, "LOUNGE"))
    assert [local(2025, 5, 1), local(2025, 4, 30, 15, 1), None] == await kept(world)
    assert [] == await world.findings()
    await change(world, "UPDATE claim SET use_until = use_until + interval '1 day'")
    found = [finding.kind for finding in await world.findings()]
    assert ["claim_terms_differ"] * 2 == found


async def test_what_could_not_be_used_is_not_claimed(world: World) -> None:
    """P-9: after the hard end of its use; before it the days are fewer."""
    await world.apply(lounges(use=Use(days=30, until=date(2025, 7, 20))))
    member = await rich(world, "LOUNGE", 5)
    await claimed(world, wish(member, "LOUNGE"))
    assert [local(2025, 7, 21)] == await kept(world)
    world.clock.now = local(2025, 7, 21)
    assert "claim_window" == await ask(world, member, "LOUNGE")


async def test_an_order_outlives_its_use(world: World) -> None:
    """P-9: when the time to use it passes, nothing is taken or given back by that alone."""
    await world.apply(lounges(use=Use(days=1)))
    assert Kind.BOOKING is lounges().benefits["LOUNGE"].kind
    member = await rich(world, "LOUNGE", 1)
    await claimed(world, wish(member, "LOUNGE"))
    world.clock.forward(days=3)
    ((state,),) = await world.rows("SELECT state FROM claim")
    assert OrderState.HELD.value == state
    assert [] == await world.findings()
