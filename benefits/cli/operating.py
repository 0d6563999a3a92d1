"""The commands of those who run the service: orders that wait, and providers that are paused."""

from collections.abc import Callable
from datetime import datetime, timedelta

import rich_click as click

from benefits.actions.keys import NAME, NameInvalid
from benefits.actions.pause_provider import SayWord, say
from benefits.actions.retry_order import RetryOrder, UnknownOrder, read_number, retry
from benefits.actions.see_providers import ProviderSeen, see
from benefits.cli.agreements import BY
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, database, record, run, say_if_dry
from benefits.domain.orders import OrderState, redacted
from benefits.house import House
from benefits.store import open_orders
from benefits.store.db import Connection
from benefits.store.open_orders import Asked, Mark, OrderSeen

AT_ONCE = 500
TRIES_SHOWN = 100
AGE = click.IntRange(0, 31_622_400)
STATES = ("HELD", "SUBMITTED", "PENDING", "UNKNOWN", "MANUAL")
REASON = click.option("--reason", required=True, help="Why; no personal data.")
SKU = click.option("--sku", default="", help="One SKU of it; else the whole provider.")


@click.group("orders")
def orders() -> None:
    """Orders that are not decided: list them, show one with its calls, try one again.

    Example: `benefits orders list --state UNKNOWN`
    """


@orders.command("list")
@click.option("--state", type=click.Choice(STATES), default=None, help="Only those in this state.")
@click.option("--provider", default=None, help="Only those of this provider.")
@click.option("--sku", default=None, help="Only those of this SKU.")
@click.option("--older-than-s", type=AGE, default=0, help="Only those so old.")
def list_orders(
    state: str | None, provider: str | None, sku: str | None, older_than_s: int
) -> None:
    """Print orders that are not decided as CSV, the oldest first.

    Example: `benefits orders list --provider sandbox --older-than-s 3600`
    """

    async def work_(house: House) -> None:
        now = house.parts.clock()
        until = now - timedelta(seconds=older_than_s) if older_than_s else None
        asked = Asked(state=state, provider=provider, sku=sku, until=until)
        click.echo("number,provider,sku,quantity,state,age_s,attempts,next_at")
        after: Mark | None = None
        while True:
            async with house.database.transaction() as conn:
                page = await open_orders.listed(conn, asked, after, limit=AT_ONCE)
            for seen in page:
                click.echo(_line(seen, now))
            if len(page) < AT_ONCE:
                return
            after = (page[-1].created_at, page[-1].claim_id)

    run(work_)


@orders.command("show")
@click.argument("number")
def show_order(number: str) -> None:
    """Show the order NUMBER and the calls about it, latest first.

    Example: `benefits orders show 0197c94d5d207c7ba95d2f08c5f22ac4`
    """

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            seen = await open_orders.one(conn, request_id := read_number(number))
            if seen is None:
                raise UnknownOrder
            tries = await open_orders.tries(conn, request_id, limit=TRIES_SHOWN)
        click.echo(_line(seen, house.parts.clock()))
        for one in tries:
            outcome, why = one.outcome or "never told", redacted(one.evidence)
            click.echo(f"{one.started_at.isoformat()} {one.operation}: {outcome} {why}".rstrip())

    run(work_)


@orders.command("retry")
@click.argument("number")
@BY
@click.option("--anyway", is_flag=True, help="Also where the provider asked not to be called yet.")
@click.option("--whole", is_flag=True, help="Ask through the provider's whole schedule again.")
@DRY_RUN
def retry_order(number: str, *, by: str, anyway: bool, whole: bool, dry_run: bool) -> None:
    """Let the order NUMBER be asked about, or sent, at once.

    Example: `benefits orders retry 0197c94d5d207c7ba95d2f08c5f22ac4 --by anna-li`
    """
    caller = named(by)

    async def work_(house: House) -> None:
        request_id = read_number(number)
        command = RetryOrder(caller=caller, request_id=request_id, anyway=anyway, whole=whole)

        async def work(conn: Connection) -> None:
            await retry(conn, command, house.parts)

        await database(house, dry_run=dry_run).transact(work)
        console.print("It is due now.")
        say_if_dry(dry_run=dry_run)
        if not dry_run:
            record("order.retried", order=number, by=caller, anyway=anyway, whole=whole)

    run(work_)


@click.group("providers")
def providers() -> None:
    """See how providers stand and what waits for them; pause one, let it go again.

    Example: `benefits providers list`
    """


@providers.command("list")
def list_providers() -> None:
    """List providers with their open breakers, pauses, and the orders that wait.

    Example: `benefits providers list`
    """

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            found = await see(conn, house.parts)
        for seen in found:
            _tell(seen, house.parts.clock)

    run(work_)


@providers.command("pause")
@click.argument("provider")
@SKU
@click.option("--until", default=None, help="An instant with its offset; else until resumed.")
@REASON
@BY
@DRY_RUN
def pause(
    provider: str, *, sku: str, until: str | None, reason: str, by: str, dry_run: bool
) -> None:
    """Send nothing to a PROVIDER, or nothing of one SKU; orders wait.

    Example: `benefits providers pause sandbox --until 2026-01-05T06:00+08:00 --reason "Theirs."
    --by anna-li`
    """
    command = SayWord(
        caller=named(by),
        provider=provider,
        pauses=True,
        reason=reason,
        sku=sku,
        until=instant(until, "--until"),
    )
    _say(command, dry_run=dry_run)


@providers.command("resume")
@click.argument("provider")
@SKU
@REASON
@BY
@DRY_RUN
def resume(provider: str, *, sku: str, reason: str, by: str, dry_run: bool) -> None:
    """End the pause of a PROVIDER, or of one SKU, and close its breakers.

    Example: `benefits providers resume sandbox --reason "Over." --by anna-li`
    """
    command = SayWord(caller=named(by), provider=provider, pauses=False, reason=reason, sku=sku)
    _say(command, dry_run=dry_run)


def _say(command: SayWord, *, dry_run: bool) -> None:
    async def work_(house: House) -> None:
        async def work(conn: Connection) -> None:
            await say(conn, command, house.parts)

        await database(house, dry_run=dry_run).transact(work)
        does = "paused" if command.pauses else "resumed"
        console.print(f"{command.provider} {command.sku}".rstrip() + f" is {does}.")
        say_if_dry(dry_run=dry_run)
        if not dry_run:
            about = {"provider": command.provider, "sku": command.sku}
            record(f"provider.{does}_by_hand", **about, by=command.caller)

    run(work_)


def named(by: str) -> str:
    """Return a person of the machine's as the books name them (NameInvalid)."""
    if not NAME.fullmatch(by):
        raise NameInvalid
    return f"system:operating:{by}"


def instant(text: str | None, option: str) -> datetime | None:
    """Read the instant that an option names, with its offset."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = datetime.min  # noqa: DTZ901 - it has no offset, which is what is refused
    if at.tzinfo is None:
        raise click.BadParameter("write it like 2026-01-05T06:00+08:00", param_hint=option)
    return at


def _line(seen: OrderSeen, now: datetime) -> str:
    age_s = int((now - seen.created_at).total_seconds())
    next_at = seen.next_at.isoformat() if seen.next_at else ""
    state = OrderState(seen.state).value
    about = f"{seen.request_id.hex},{seen.provider},{seen.sku},{seen.quantity}"
    return f"{about},{state},{age_s},{seen.attempt},{next_at}"


def _tell(seen: ProviderSeen, clock: Callable[[], datetime]) -> None:
    """Say how a provider stands, line by line."""
    waiting = sum(one.orders for one in seen.orders)
    old = f", the oldest since {seen.oldest_at.isoformat()}" if seen.oldest_at else ""
    console.print(f"{seen.code}: {waiting} orders wait{old}")
    for one in seen.orders:
        console.print(f"  {one.state}: {one.orders}")
    for each in seen.breakers:
        if (until := each.circuit.paused_until) is not None:
            left_s = max(int((until - clock()).total_seconds()), 0)
            console.print(f"  {each.sku} {each.stand}: {each.circuit.why}, {left_s} s")
    for word in seen.words:
        until_ = word.until.isoformat() if word.until else "it is resumed"
        console.print(
            f"  {word.sku or 'all'} paused until {until_} by {word.actor}: {word.reason}"
        )
