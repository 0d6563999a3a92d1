"""Losses are recovered and charges cleared by two people, once and no further (G-CB-4, L-9)."""

from uuid import UUID

import pytest

from benefits.domain.corrections import Fault, Kind, Why
from benefits.domain.orders import Done, PartlyUsed, Reason, Rejected, Reversed, Used
from tests.actions.desk import approve, ask, correct, lost, money, spent
from tests.actions.life import call_back, claimed, holder, number_of, states, wallet, wish
from tests.builders import NOON, World


async def borne(world: World) -> tuple[UUID, UUID]:
    """Return a member to whom two lounges were delivered for nothing, and the claim."""
    member = await holder(world, "LOUNGE", 2)
    (claim,) = await claimed(world, wish(member, "LOUNGE", quantity=2))
    number = await number_of(world, claim)
    await call_back(world, number, Rejected(Reason.LIMIT, "limit"))
    await claimed(world, wish(member, "LOUNGE", quantity=2))
    await call_back(world, number, Done(at=NOON))
    return member, claim


async def charged(world: World) -> tuple[UUID, UUID]:
    """Return a member whose two videos were made good at the provider's fault, and the claim."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    more = {"claim_id": claim, "fault": Fault.PROVIDER, "valid_days": 7}
    for _ in range(2):
        assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    return member, claim


async def units(world: World, account: str) -> int:
    """Return the balance of a units' account: credits minus debits."""
    ((sum_,),) = await world.rows(
        "SELECT coalesce(sum(CASE WHEN credit = $1 THEN amount ELSE -amount END), 0)::bigint "
        "FROM posting WHERE unit LIKE 'BENEFIT:%' AND $1 IN (debit, credit)",
        account,
    )
    return int(sum_)


async def told(world: World, kind: str) -> list[dict[str, object]]:
    """Return what events of a type tell, without their digests."""
    found = await world.rows("SELECT data FROM outbox WHERE type = $1 ORDER BY seq", kind)
    return [{k: v for k, v in row.data.items() if k != "digest"} for row in found]


async def test_a_loss_is_recovered_once_with_its_share_of_the_money(world: World) -> None:
    """The provider is owed nothing for it; the member's units are as they were (G-CB-4)."""
    member, claim = await borne(world)
    before = await wallet(world, member, "LOUNGE")
    assert (2, 76_00) == (await units(world, "loss"), await money(world, "loss"))
    assert "ok" == await correct(world, Kind.RECOVER, member, 1, claim_id=claim)
    assert (1, 38_00) == (await units(world, "loss"), await money(world, "loss"))
    assert "correction_exceeds" == await ask(world, Kind.RECOVER, member, 2, claim_id=claim)
    assert "ok" == await correct(world, Kind.RECOVER, member, 1, claim_id=claim)
    assert (0, 0) == (await units(world, "loss"), await money(world, "loss"))
    assert 0 == await money(world, "provider.payable")
    assert before == await wallet(world, member, "LOUNGE")
    assert [{"benefit": "LOUNGE", "quantity": 1}] * 2 == await told(world, "loss.recovered")
    assert "correction_exceeds" == await ask(world, Kind.RECOVER, member, 1, claim_id=claim)
    assert [] == await world.findings()


async def test_what_was_delivered_with_entitlement_is_no_loss_to_recover(world: World) -> None:
    """Neither what was delivered and used, nor what was not delivered at all."""
    member = await holder(world, "LOUNGE", 2)
    claim = await spent(world, member, "LOUNGE")
    await call_back(world, await number_of(world, claim), Used(at=NOON))
    (other,) = await claimed(world, wish(member, "LOUNGE"))
    for each in (claim, other):
        assert "correction_exceeds" == await ask(world, Kind.RECOVER, member, 1, claim_id=each)


async def test_a_loss_is_recovered_whatever_it_was_delivered_as(world: World) -> None:
    """An order whose first word is that some of it was used is a loss, too (V-5, L-9)."""
    member = await holder(world, "LOUNGE", 2)
    (claim,) = await claimed(world, wish(member, "LOUNGE", quantity=2))
    number = await number_of(world, claim)
    await call_back(world, number, Rejected(Reason.LIMIT, "limit"))
    await claimed(world, wish(member, "LOUNGE", quantity=2))
    await call_back(world, number, PartlyUsed(at=NOON, used=1))
    assert (2, 76_00) == (await units(world, "loss"), await money(world, "loss"))
    assert "ok" == await correct(world, Kind.RECOVER, member, 2, claim_id=claim)
    assert (0, 0) == (await units(world, "loss"), await money(world, "loss"))
    assert [] == await world.findings()


async def test_what_was_settled_in_part_is_not_held_again(world: World) -> None:
    """A late delivery changes nothing, an undone use is left to a person (V-4, L-7)."""
    member = await holder(world, "LOUNGE", 2)
    claim = await lost(world, member, "LOUNGE", 2)
    assert "ok" == await correct(world, Kind.SETTLE, member, 1, claim_id=claim)
    number = await number_of(world, claim)
    await call_back(world, number, Done(at=NOON))
    assert (["REDEEMED"], (1, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    await call_back(world, number, Reversed(at=NOON))
    assert (["ISSUED"], (1, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    cases = await world.rows("SELECT kind FROM case_file WHERE claim_id = $1", claim)
    assert ["reversed_by_hand"] == [row.kind for row in cases]
    assert [] == await world.findings()


async def test_of_two_alike_only_one_is_approved_as_it_was_read(world: World) -> None:
    """Whoever reads one proposal does not approve the second of its kind (I7)."""
    member, claim = await borne(world)
    ones = [await ask(world, Kind.RECOVER, member, 1, claim_id=claim) for _ in range(2)]
    assert ["ok", "correction_stale"] == [await approve(world, one) for one in ones]
    member, claim = await charged(world)
    more = {"claim_id": claim, "fault": Fault.OURS}
    ones = [await ask(world, Kind.CLEAR, member, 5_00, **more) for _ in range(2)]
    assert ["ok", "correction_stale"] == [await approve(world, one) for one in ones]
    assert (-25_00, 38_00) == (await money(world, "suspense"), await money(world, "loss"))
    assert [] == await world.findings()


async def test_a_charge_is_cleared_as_far_as_it_waits(world: World) -> None:
    """What the provider settled stands against losses, what it refuses is owed it again."""
    member, claim = await charged(world)
    owed = await money(world, "provider.payable")
    assert -30_00 == await money(world, "suspense")
    more = {"claim_id": claim, "why": Why.PROVIDER_FAULT}
    settled, refused = {"fault": Fault.PROVIDER} | more, {"fault": Fault.OURS} | more
    assert "correction_exceeds" == await ask(world, Kind.CLEAR, member, 30_01, **settled)
    assert "ok" == await correct(world, Kind.CLEAR, member, 20_00, **settled)
    assert (-10_00, -20_00) == (await money(world, "suspense"), await money(world, "loss"))
    assert owed == await money(world, "provider.payable")
    assert "correction_exceeds" == await ask(world, Kind.CLEAR, member, 10_01, **refused)
    assert "ok" == await correct(world, Kind.CLEAR, member, 10_00, **refused)
    assert (0, -20_00) == (await money(world, "suspense"), await money(world, "loss"))
    assert owed - 10_00 == await money(world, "provider.payable")
    one = {"benefit": "VIDEO", "provider": "sandbox"}
    assert [
        one | {"amount_minor": 20_00, "fault": "PROVIDER"},
        one | {"amount_minor": 10_00, "fault": "OURS"},
    ] == await told(world, "charge.cleared")
    assert "correction_exceeds" == await ask(world, Kind.CLEAR, member, 1, **settled)
    assert [] == await world.findings()


async def test_where_no_provider_was_charged_nothing_waits(world: World) -> None:
    """Neither for a make-good at our own fault nor for a proposal that nobody approved."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    more = {"claim_id": claim, "valid_days": 7}
    ours, theirs = more | {"fault": Fault.OURS}, more | {"fault": Fault.PROVIDER}
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, **ours)
    await ask(world, Kind.MAKE_GOOD, member, 1, **theirs)
    clear = {"claim_id": claim, "fault": Fault.PROVIDER}
    assert "correction_exceeds" == await ask(world, Kind.CLEAR, member, 1, **clear)


@pytest.mark.parametrize(
    ("kind", "quantity", "more"),
    [
        (Kind.CLEAR, 1, {}),
        (Kind.CLEAR, 0, {"fault": Fault.OURS}),
        (Kind.CLEAR, 10**9 + 1, {"fault": Fault.OURS}),
        (Kind.CLEAR, 1, {"fault": Fault.OURS, "valid_days": 7}),
        (Kind.RECOVER, 1, {"fault": Fault.OURS}),
        (Kind.RECOVER, 0, {}),
        (Kind.RECOVER, 10_001, {}),
    ],
)
async def test_a_proposal_brings_what_its_kind_needs(
    world: World, kind: Kind, quantity: int, more: dict[str, object]
) -> None:
    """A charge has a fault and an amount of money; a loss has pieces and nobody to name."""
    member, claim = await charged(world)
    found = await ask(world, kind, member, quantity, claim_id=claim, **more)
    assert "correction_invalid" == found
