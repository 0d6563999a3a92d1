"""Answers applied to orders where it is hard: late, twice, together, and after a give-up."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.domain.orders import (
    Capabilities,
    Done,
    LateSuccess,
    NotFound,
    NotSent,
    Operation,
    Outcome,
    Pending,
    Reason,
    Rejected,
    Revoked,
    Unknown,
    Used,
)
from benefits.domain.policy import Text
from benefits.domain.programme import Dialect, Programme, ProgrammeInvalid, Provider
from benefits.domain.wechat import CodeMode, Wechat
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    gift,
    give,
    holder,
    lapse_holds,
    lease,
    number_of,
    record,
    states,
    tell,
    wallet,
    wish,
    work_off,
)
from tests.builders import NOON, World, reference_programme

NO = Rejected(Reason.LIMIT, "limit")
DONE = Done(at=NOON)
USED = Used(at=NOON)


async def lounge(world: World, quantity: int = 1) -> tuple[UUID, str]:
    """Return a member who has claimed all lounge visits they have, and the claim's number."""
    member = await holder(world, "LOUNGE", quantity)
    (claim_id,) = await claimed(world, wish(member, "LOUNGE", quantity=quantity))
    return member, await number_of(world, claim_id)


async def cases(world: World) -> list[str]:
    """Return the kinds of the open cases."""
    return [row.kind for row in await world.rows("SELECT kind FROM case_file ORDER BY kind")]


async def test_a_late_success_for_which_too_few_units_are_left_is_a_loss(world: World) -> None:
    """A unit counts once, although its lot is both the old hold's and the member's (G-CB-4)."""
    member, number = await lounge(world, 2)
    await call_back(world, number, NO)
    await claimed(world, wish(member, "LOUNGE"))
    await call_back(world, number, DONE)
    assert ["ISSUED", "HELD"] == await states(world)
    assert (1, 1) == await wallet(world, member, "LOUNGE")
    assert ["delivered_without_entitlement"] == await cases(world)
    assert [] == await world.findings()


@pytest.mark.parametrize("late", [USED, Revoked(NOON)])
async def test_what_was_issued_at_a_loss_ends_without_touching_units(
    world: World, late: Outcome
) -> None:
    """The hold of an order issued at the bank's loss has ended and is not ended again (I6)."""
    member, number = await lounge(world)
    await call_back(world, number, NO)
    await claimed(world, wish(member, "LOUNGE"))
    await call_back(world, number, DONE, late)
    assert (0, 1) == await wallet(world, member, "LOUNGE")
    assert (3800, 0) == await counter(world, "budget:lounge")
    assert [] == await world.findings()


async def test_refusal_and_success_worked_off_together_end_as_one_after_the_other(
    world: World,
) -> None:
    """A success after a refusal may take any lot of the member, as it would alone (I14)."""
    member = await holder(world, "LOUNGE", valid_days=1)
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    await give(world, gift(member, "LOUNGE"))
    number = await number_of(world, claim_id)
    for outcome in (NO, DONE):
        world.clock.forward(days=2)
        await tell(world, number, outcome)
    assert 2 == await work_off(world)
    assert (0, 1) == await wallet(world, member, "LOUNGE")
    assert [] == await cases(world)
    assert [] == await world.findings()


async def test_an_issued_order_that_is_revoked_unused_gives_its_units_back(world: World) -> None:
    """Units that are spent by use come back when the provider takes the thing back."""
    member, number = await lounge(world)
    await call_back(world, number, DONE, Revoked(NOON))
    assert ["REVOKED"] == await states(world)
    assert (1, 0) == await wallet(world, member, "LOUNGE")
    assert [] == await world.findings()


async def test_a_claim_that_was_provably_never_sent_lapses(world: World) -> None:
    """Attempts that never left this machine do not make a hold last for ever."""
    member, _ = await lounge(world)
    (work,) = await lease(world)
    await record(world, work, NotSent("no route"))
    assert ["HELD"] == await states(world)
    world.clock.forward(days=2)
    assert 1 == await lapse_holds(world)
    assert (["EXPIRED"], (1, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert [] == await lease(world)


async def test_a_query_that_was_not_sent_says_nothing_of_the_order(world: World) -> None:
    """The order may have been sent before, so its hold gets no deadline (V-3)."""
    await lounge(world)
    await lease(world)
    world.clock.forward(minutes=2)
    (work,) = await lease(world)
    assert Operation.QUERY is work.call.operation
    await record(world, work, NotSent("no route"))
    world.clock.forward(days=2)
    assert (0, ["UNKNOWN"]) == (await lapse_holds(world), await states(world))


@pytest.mark.parametrize(
    ("outcome", "idle_s", "after_s"),
    [
        (NotSent("busy"), 3.9, 5),
        (NotSent("busy", wait_s=120), 119, 120),
        (NotSent("busy", wait_s=1), 3.9, 5),
        (Unknown("busy"), 11.9, 15),
        (Unknown("busy", wait_s=120), 119, 120),
        (Unknown("busy", wait_s=1), 11.9, 15),
    ],
)
async def test_a_provider_that_asks_us_to_wait_is_left_in_peace(
    world: World, outcome: Outcome, idle_s: float, after_s: int
) -> None:
    """What it asks for counts when it is longer than our own pause, which is spread."""
    await claimed(world, wish(await holder(world)))
    (work,) = await lease(world)
    await record(world, work, outcome)
    world.clock.forward(seconds=idle_s)
    assert [] == await lease(world)
    world.clock.forward(seconds=after_s - idle_s)
    assert 1 == len(await lease(world))


async def test_a_query_that_was_turned_away_waits_too(world: World) -> None:
    """It says nothing of the order, and is made again when the provider has time."""
    await claimed(world, wish(await holder(world)))
    (work,) = await lease(world)
    await record(world, work, Unknown("silence"))
    world.clock.forward(seconds=15)
    (query,) = await lease(world)
    await record(world, query, NotSent("HTTP 429, not processed", wait_s=300))
    assert ["UNKNOWN"] == await states(world)
    world.clock.forward(seconds=299)
    assert [] == await lease(world)
    world.clock.forward(seconds=1)
    assert 1 == len(await lease(world))


async def test_not_sent_told_of_an_older_attempt_gives_no_deadline(world: World) -> None:
    """Told twice, it must not free the units of an order whose next attempt is under way."""
    await lounge(world)
    (first,) = await lease(world)
    await record(world, first, NotSent("no route"))
    world.clock.forward(minutes=1)
    (second,) = await lease(world)
    assert Operation.ISSUE is second.call.operation
    await record(world, first, NotSent("no route"))
    world.clock.forward(days=2)
    assert (0, ["UNKNOWN"]) == (await lapse_holds(world), await states(world))


async def test_a_late_success_is_revoked_once_however_often_it_is_told(world: World) -> None:
    """Where late successes are revoked, one revocation is asked for."""
    programme = reference_programme()
    revoking = Capabilities(late_success=LateSuccess.REVOKE)
    provider = msgspec.structs.replace(programme.provider[0], capabilities=revoking)
    await world.apply(msgspec.structs.replace(programme, provider=(provider,)))
    member, number = await lounge(world)
    await call_back(world, number, NO, DONE, DONE)
    (work,) = await lease(world)
    assert (Operation.REVOKE, number) == (work.call.operation, work.call.number)
    await call_back(world, number, DONE)
    await record(world, work, Revoked(NOON))
    world.clock.forward(days=1)
    assert [] == await lease(world)
    assert (["REVOKED"], (1, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))


async def test_an_unknown_revocation_is_asked_again(world: World) -> None:
    """Silence about a revocation is not success either (V-3)."""
    programme = reference_programme()
    revoking = Capabilities(late_success=LateSuccess.REVOKE)
    provider = msgspec.structs.replace(programme.provider[0], capabilities=revoking)
    await world.apply(msgspec.structs.replace(programme, provider=(provider,)))
    _, number = await lounge(world)
    await call_back(world, number, NO, DONE)
    (work,) = await lease(world)
    await record(world, work, Unknown("timeout"))
    world.clock.forward(minutes=1)
    (again,) = await lease(world)
    assert (Operation.REVOKE, 2) == (again.call.operation, again.request.attempt)


async def test_a_revocation_that_was_taken_without_a_word_is_asked_about(world: World) -> None:
    """That the order stands is then no refusal: it is asked for again, until it is done (V-3)."""
    revoking = Capabilities(late_success=LateSuccess.REVOKE)
    programme = reference_programme()
    provider = msgspec.structs.replace(programme.provider[0], capabilities=revoking)
    await world.apply(msgspec.structs.replace(programme, provider=(provider,)))
    _, number = await lounge(world)
    await call_back(world, number, NO, DONE)
    for expected, outcome in (
        (Operation.REVOKE, Pending()),
        (Operation.QUERY, DONE),
        (Operation.REVOKE, Pending()),
        (Operation.QUERY, Revoked(NOON)),
    ):
        assert ["COMPENSATED"] == await states(world)
        world.clock.forward(minutes=10)
        (work,) = await lease(world)
        assert expected is work.call.operation
        await record(world, work, outcome)
    assert ["REVOKED"] == await states(world)
    world.clock.forward(days=1)
    assert [] == await lease(world)


def without_lounge(programme: Programme) -> Programme:
    """Return the programme without its lounge."""
    return msgspec.structs.replace(programme, benefit=programme.benefit[1:], line=())


def from_another_budget(programme: Programme) -> Programme:
    """Return the programme with the lounge paid from the video's budget."""
    first = msgspec.structs.replace(programme.benefit[0], budget="video")
    return msgspec.structs.replace(programme, benefit=(first, *programme.benefit[1:]))


def with_a_stock(programme: Programme) -> Programme:
    """Return the programme with a stock of lounge visits."""
    first = msgspec.structs.replace(programme.benefit[0], stock=5)
    return msgspec.structs.replace(programme, benefit=(first, *programme.benefit[1:]))


@pytest.mark.parametrize("changed", [without_lounge, from_another_budget, with_a_stock])
async def test_a_version_under_which_claims_could_not_end_is_refused(
    world: World, changed: Callable[[Programme], Programme]
) -> None:
    """Open claims are ended, and past ones verified, by what the current version says."""
    await lounge(world)
    with pytest.raises(ProgrammeInvalid):
        await world.apply(changed(reference_programme()))
    assert [] == await world.findings()


@pytest.mark.parametrize("full", ["cap_reached", "stock_exhausted", "budget_exhausted"])
async def test_a_late_success_exceeds_no_limit(world: World, full: str) -> None:
    """Cap, stock and budget hold on the way back too: without room it is a loss (G-CB-4)."""
    member = await holder(world, quantity=4)
    (claim_id,) = await claimed(world, wish(member))
    number = await number_of(world, claim_id)
    await call_back(world, number, NO)
    if full == "cap_reached":
        await claimed(world, wish(member, quantity=2))
    else:
        programme = reference_programme()
        video = programme.benefits["VIDEO"]
        less = msgspec.structs.replace(video, stock=0 if full == "stock_exhausted" else 9)
        total = Decimal(0 if full == "budget_exhausted" else 1000)
        await world.apply(
            msgspec.structs.replace(
                programme,
                benefit=(programme.benefit[0], less),
                budget=tuple(msgspec.structs.replace(b, total=total) for b in programme.budget),
            )
        )
    await call_back(world, number, DONE)
    assert [(full,)] == await world.rows("SELECT detail FROM case_file")
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("answer", "state", "units", "kinds"),
    [
        (DONE, "ISSUED", (0, 1), []),
        (NO, "ISSUED", (0, 1), []),
        (Rejected(Reason.NOT_FOUND, "not_found"), "COMPENSATED", (1, 0), ["revoke_unanswered"]),
    ],
)
async def test_what_is_not_taken_back_is_not_forgotten(
    world: World, answer: Outcome, state: str, units: tuple[int, int], kinds: list[str]
) -> None:
    """An answer to a revocation that is none re-issues the order, or calls a person."""
    programme = reference_programme()
    revoking = Capabilities(late_success=LateSuccess.REVOKE)
    provider = msgspec.structs.replace(programme.provider[0], capabilities=revoking)
    await world.apply(msgspec.structs.replace(programme, provider=(provider,)))
    member, number = await lounge(world)
    await call_back(world, number, NO, DONE)
    (work,) = await lease(world)
    await record(world, work, answer)
    assert [state] == await states(world)
    assert units == await wallet(world, member, "LOUNGE")
    assert kinds == await cases(world)
    assert [] == await world.findings()


async def test_an_issued_order_is_watched_until_it_is_used(world: World) -> None:
    """A lost notice of use is found by asking, however late (V-3)."""
    programme = reference_programme()
    quick = msgspec.structs.replace(
        programme.provider[0], capabilities=Capabilities(query_schedule_s=(15, 60))
    )
    await world.apply(msgspec.structs.replace(programme, provider=(quick,)))
    await lounge(world)
    (work,) = await lease(world)
    await record(world, work, DONE)
    for _ in range(5):
        world.clock.forward(seconds=61)
        (work,) = await lease(world)
        assert Operation.QUERY is work.call.operation
        await record(world, work, DONE)
    world.clock.forward(seconds=61)
    (work,) = await lease(world)
    await record(world, work, USED)
    assert ["REDEEMED"] == await states(world)
    world.clock.forward(days=9)
    assert [] == await lease(world)


async def changed(world: World, cost: int, **capabilities: Any) -> None:
    """Put a programme into force with other costs and another way of the provider's."""
    programme = reference_programme()
    provider = msgspec.structs.replace(
        programme.provider[0], capabilities=Capabilities(**capabilities)
    )
    benefits = tuple(msgspec.structs.replace(b, cost=Decimal(cost)) for b in programme.benefit)
    await world.apply(msgspec.structs.replace(programme, provider=(provider,), benefit=benefits))


@pytest.mark.parametrize(("grace_s", "state"), [(0, "UNKNOWN"), (600, "COMPENSATED")])
async def test_an_order_keeps_the_grace_it_was_made_under(
    world: World, grace_s: int, state: str
) -> None:
    """A later version's is for later claims (U-3)."""
    await changed(world, 38, not_found_grace_s=600 - grace_s)
    await lounge(world)
    await changed(world, 38, not_found_grace_s=grace_s)
    (work,) = await lease(world)
    await record(world, work, Unknown("timeout"))
    world.clock.forward(seconds=15)
    (query,) = await lease(world)
    await record(world, query, NotFound())
    assert [state] == await states(world)


async def test_a_late_success_is_met_as_it_was_agreed(world: World) -> None:
    """Units are taken again at the claim's cost, though later claims cost more (U-3, K-4)."""
    _, number = await lounge(world)
    await call_back(world, number, NO)
    await changed(world, 99, late_success=LateSuccess.REVOKE)
    await call_back(world, number, DONE, USED)
    assert (["REDEEMED"], (0, 3800)) == (
        await states(world),
        await counter(world, "budget:lounge"),
    )
    _, number = await lounge(world)
    await call_back(world, number, NO, DONE)
    (work,) = await lease(world)
    assert Operation.REVOKE is work.call.operation
    assert [] == await world.findings()


@pytest.mark.parametrize("field", ["currency", "zone", "minor_digits"])
async def test_what_figures_mean_must_stay(world: World, field: str) -> None:
    """Sums and counters are kept in units that a new version may not change."""
    other = {"currency": "CZK", "zone": "Europe/Prague", "minor_digits": 3}[field]
    with pytest.raises(ProgrammeInvalid, match=f"{field} must stay"):
        await world.apply(msgspec.structs.replace(reference_programme(), **{field: other}))


async def test_how_a_number_was_sent_must_stay(world: World) -> None:
    """An order is asked about in the words it was sent in, at the merchant it was sent to."""
    made = Wechat(mchid="1900000001", appid="wx1", stocks={"100": CodeMode.WECHATPAY_MODE})
    wechat = Provider(
        code="wx",
        name=Text(en="WeChat", zh="微信"),
        dialect=Dialect.WECHAT_BUSIFAVOR,
        url="https://api.mch.weixin.qq.com",
        wechat=made,
    )
    before = reference_programme()
    await world.apply(msgspec.structs.replace(before, provider=(*before.provider, wechat)))
    changes: tuple[tuple[str, Any, str], ...] = (
        ("mchid", "1900000002", "mchid must stay"),
        ("appid", "wx2", "appid must stay"),
        ("brand_id", "7", "brand_id must stay"),
        ("stocks", {}, "stock '100' come from must stay"),
    )
    for field, other, words in changes:
        merchant = msgspec.structs.replace(made, **{field: other})
        now = msgspec.structs.replace(wechat, wechat=merchant)
        with pytest.raises(ProgrammeInvalid, match=words):
            await world.apply(msgspec.structs.replace(before, provider=(*before.provider, now)))
    (sandbox,) = before.provider
    moved = msgspec.structs.replace(sandbox, dialect=Dialect.WECHAT_BUSIFAVOR, wechat=made)
    with pytest.raises(ProgrammeInvalid, match="dialect must stay 'open'"):
        await world.apply(msgspec.structs.replace(before, provider=(moved, wechat)))
