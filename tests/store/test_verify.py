"""The tamper matrix: whatever a superuser changes behind the ledger's back, verify names it."""

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions import verify
from benefits.actions.close_month import close_month
from benefits.actions.keyed import Accepted
from benefits.actions.merge_members import MergeMembers, merge_members
from benefits.actions.read_code import read_code
from benefits.actions.run_jobs import begin_file, run_part
from benefits.domain.benefit import ClawBack
from benefits.domain.corrections import Kind
from benefits.domain.jobs import Format
from benefits.domain.limits import Budget, Scope
from benefits.domain.orders import Done, Reason, Rejected, Used
from benefits.domain.programme import Programme
from benefits.domain.values import Month
from benefits.domain.windows import Stretch
from benefits.store import stretch_sums
from benefits.store.verify import CHECKS
from benefits.store.verify_terms import TERMS
from tests import builders
from tests.actions.desk import ask, correct, offered
from tests.actions.life import (
    call_back,
    change,
    claimed,
    gift,
    give,
    holder,
    number_of,
    wish,
)
from tests.actions.limiting import limit
from tests.builders import NOON, World, reference_programme
from tests.conftest import database

AS_SUPERUSER = "SET LOCAL session_replication_role = replica"


def under_limits() -> Programme:
    """Return the reference programme with limits of members and of all, and a head office."""
    programme = reference_programme()
    head = Budget(code="head", total=Decimal(200_000))
    return replace(
        programme,
        limit=(limit("all", 100), limit("mine", 50, Scope.MEMBER)),
        budget=(head, *(replace(one, parent="head") for one in programme.budget)),
    )


async def lived_in(world: World) -> UUID:
    """Fill an installation: assets, tiers, limits, units held, redeemed, given back, expired."""
    await world.apply(under_limits())
    member = await holder(world, "LOUNGE", quantity=5)
    await world.month(world.name(1), "2025-06", 520_000_00)
    async with world.database.transaction() as conn:
        await stretch_sums.fill(conn, Stretch(Month(2025, 6), 30, 30))
    await world.evaluate("2025-06", member)
    used, refused, _ = await claimed(
        world, *(wish(member, "LOUNGE", quantity=n) for n in (1, 2, 1))
    )
    done = Done(at=NOON, code="482913557201")
    await call_back(world, await number_of(world, used), done, Used(at=NOON))
    async with world.database.transaction() as conn:
        assert done.code == await read_code(conn, used, world.parts, actor="system:page")
    await call_back(world, await number_of(world, refused), Rejected(Reason.LIMIT, "limit"))
    (video,) = await claimed(world, wish(member, quantity=2))
    await call_back(world, await number_of(world, video), Done(at=NOON))
    await give(world, gift(member, "LOUNGE"))
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=video)
    await ask(world, Kind.CLAW_BACK, member, 1, benefit="LOUNGE")
    await joined(world)
    async with world.database.transaction() as conn:
        line = io.BytesIO(b'{"customer": "nobody", "benefit": "VIDEO", "business_key": "k"}')
        job, _ = await begin_file(conn, "crm", world.parts, file=line, format_=Format.NDJSON)
        await run_part(conn, world.parts, job.job_id)
    world.clock.now = datetime(2025, 8, 1, tzinfo=UTC)
    await close_month(world.database, world.parts, Month(2025, 7), actor="test")
    return member


async def joined(world: World) -> None:
    """Merge somebody who has units and owes others."""
    await offered(world, claw_back=ClawBack.DEBT)
    into, of = await world.members(2)
    await give(world, gift(of, "LOUNGE", quantity=2), gift(of))
    (used,) = await claimed(world, wish(of))
    await call_back(world, await number_of(world, used), Done(at=NOON))
    assert "ok" == await correct(world, Kind.CLAW_BACK, of, 1, benefit="VIDEO")
    async with world.database.transaction() as conn:
        command = MergeMembers(caller="crm", key="joined", of=of, into=into)
        assert isinstance(await merge_members(conn, command, world.parts), Accepted)


@pytest.fixture(scope="module")
async def lived(cluster_dsn: str, migrated: str) -> AsyncIterator[str]:
    """Give the name of a database that was lived in, to make copies from."""
    async with database(cluster_dsn, migrated) as dsn:
        async with builders.world(dsn) as made:
            await lived_in(made)
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
async def old_world(
    cluster_dsn: str, lived: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Give a copy of an installation that was lived in, verified in one slice."""
    monkeypatch.setattr(verify, "SLICES", 1)
    async with database(cluster_dsn, lived) as dsn, builders.world(dsn) as made:
        yield made


async def kinds(world: World) -> set[str]:
    """Return the kinds of what verify finds."""
    return {finding.kind for finding in await world.findings()}


async def test_an_untouched_installation_has_no_findings(world: World) -> None:
    """Neither an empty one nor one that was lived in."""
    assert [] == await world.findings()
    await lived_in(world)
    assert [] == await world.findings()


MATRIX = [
    ("wallet_differs", "UPDATE wallet SET available = available + 1"),
    ("wallet_differs", "UPDATE wallet SET held = held + 1"),
    ("wallet_differs", "DELETE FROM wallet WHERE unit = 'BENEFIT:LOUNGE'"),
    ("wallet_differs", "UPDATE posting SET amount = amount + 1 WHERE debit = 'issued'"),
    ("wallet_differs", "DELETE FROM posting WHERE debit = 'available'"),
    ("wallet_differs", "INSERT INTO wallet SELECT bucket, member_id, 'X', 1, 0 FROM member"),
    ("lot_differs", "UPDATE lot SET granted = granted + 1"),
    ("lot_differs", "UPDATE lot SET remaining = remaining - 1 WHERE remaining > held"),
    ("lot_differs", "UPDATE lot SET held = 0 WHERE held > 0"),
    ("lot_differs", "UPDATE lot SET redeemed = 0 WHERE redeemed > 0"),
    ("wallet_differs", "UPDATE wallet SET owed = 1"),
    ("lot_differs", "UPDATE lot SET expired = 1, remaining = 0 WHERE remaining = 1 AND held = 0"),
    ("lot_differs", "DELETE FROM lot WHERE unit = 'BENEFIT:VIDEO'"),
    ("lot_differs", "UPDATE posting SET credit = 'expired' WHERE credit = 'redeemed'"),
    ("sweep_differs", "UPDATE lot SET swept = true"),
    ("job_differs", "DELETE FROM job_row"),
    (
        "job_differs",
        """INSERT INTO job_outcome
           SELECT bucket, job_id, 0, 0, ARRAY[1], ARRAY[job_id], ARRAY[false] FROM job""",
    ),
    ("job_differs", "INSERT INTO job_part SELECT bucket, job_id, 0, '', now() FROM job"),
    ("batch_without_postings", "DELETE FROM posting WHERE debit = 'issued'"),
    ("posting_without_batch", "DELETE FROM batch WHERE kind = 'claim.placed'"),
    ("batch_event_differs", "UPDATE outbox SET batch_id = NULL WHERE type = 'claim.placed'"),
    ("batch_event_differs", "DELETE FROM batch WHERE kind = 'claim.placed'"),
    (
        "batch_event_differs",
        """UPDATE outbox SET batch_id = (SELECT min(batch_id::text)::uuid FROM batch)
           WHERE type = 'claim.placed'""",
    ),
    ("event_missing", "DELETE FROM outbox WHERE seq = 1"),
    ("event_missing", "DELETE FROM outbox WHERE seq > 3"),
    ("event_missing", "UPDATE member SET event_seq = event_seq + 1"),
    ("hold_differs", "UPDATE hold SET quantity = quantity + 1"),
    ("hold_differs", "UPDATE hold_end SET captured = captured + 1"),
    ("hold_differs", "DELETE FROM posting WHERE credit = 'held'"),
    ("hold_money_differs", "UPDATE posting SET amount = 1 WHERE credit = 'budget.reserved'"),
    ("hold_money_differs", "UPDATE posting SET amount = 1 WHERE debit = 'budget.reserved'"),
    ("hold_money_differs", "DELETE FROM posting WHERE debit = 'budget.reserved'"),
    (
        "hold_money_differs",  # neither reserved nor freed: as in the first release
        "DELETE FROM posting WHERE 'budget.reserved' IN (debit, credit)",
    ),
    ("hold_money_differs", "UPDATE hold SET cost_minor = cost_minor + 1"),
    ("hold_money_differs", "UPDATE hold_end SET spent_minor = 1 WHERE captured > 0"),
    ("hold_money_differs", "UPDATE posting SET amount = 1 WHERE credit = 'budget.spent'"),
    ("held_without_hold", "DELETE FROM hold_end"),
    ("held_without_hold", "DELETE FROM hold"),
    ("claim_differs", "UPDATE claim SET state = 'HELD' WHERE state = 'COMPENSATED'"),
    ("claim_differs", "UPDATE claim SET state = 'PENDING' WHERE state = 'REDEEMED'"),
    ("claim_differs", "UPDATE claim SET state = 'REDEEMED' WHERE state = 'HELD'"),
    ("claim_differs", "UPDATE claim SET state = 'COMPENSATED' WHERE state = 'HELD'"),
    ("claim_differs", """UPDATE claim SET state = 'REVOKED', cancelled_at = claimed_at,
                                cancel_until = changed_at + interval '1 day'
                         WHERE state = 'REDEEMED'"""),
    ("claim_differs", "UPDATE claim SET hold_id = (SELECT min(hold_id::text)::uuid FROM hold)"),
    ("member_counter_differs", "UPDATE member_counter SET used = used + 1"),
    ("member_counter_differs", "DELETE FROM member_counter"),
    ("member_counter_differs", "UPDATE claim SET cap_window = '2025-06' WHERE cap_window <> ''"),
    ("member_counter_differs", """UPDATE member_counter SET used = used + 1
                                  WHERE counter LIKE 'limit:%:mine:%'"""),
    ("member_counter_differs", "UPDATE claim SET limits = NULL"),
    ("counter_differs", "UPDATE claim SET limits = NULL"),
    ("counter_differs", """UPDATE counter SET spent = spent + 1, "window" = '2025-01'
                           WHERE counter LIKE 'limit:%:all:%'"""),
    ("counter_differs", "DELETE FROM counter WHERE counter LIKE 'limit:%:all:%'"),
    ("counter_differs", "UPDATE counter SET spent = spent - 1 WHERE counter = 'budget:head'"),
    ("claim_terms_differ", "UPDATE claim SET limits = NULL"),
    ("claim_terms_differ", """UPDATE claim
        SET limits = jsonb_set(limits, '{{0,window}}', '"2025-01"') WHERE limits IS NOT NULL"""),
    ("reversal_exceeds", "UPDATE reversal SET amount = amount + 9000"),
    ("reversal_exceeds", "UPDATE reversal SET line = line + 90"),
    ("reversal_exceeds", """INSERT INTO reversal SELECT bucket, reverses, line,
                            gen_random_uuid(), by_line, amount
                            FROM reversal, generate_series(1, 3)"""),
    ("reversal_differs", "DELETE FROM reversal"),
    ("reversal_differs", "UPDATE reversal SET by_line = by_line + 1"),
    ("reversal_differs", """UPDATE posting SET party = 'x' WHERE debit = 'expense'"""),
    ("reversal_differs", """UPDATE posting SET debit = 'redeemed' WHERE debit = 'expense'"""),
    ("reversal_differs", "UPDATE batch SET reverses = NULL WHERE reverses IS NOT NULL"),
    ("reversal_differs", """UPDATE batch SET reverses = batch_id
                            WHERE kind = 'entitlement.returned'"""),
    ("member_counter_differs", "DELETE FROM reversal"),
    ("counter_differs", "DELETE FROM reversal"),
    ("counter_differs", "UPDATE correction SET reason = 'NOT_DELIVERED'"),
    ("correction_differs", "DELETE FROM correction_decision"),
    ("correction_differs", "DELETE FROM correction"),
    ("correction_differs", "UPDATE correction_decision SET decided_by = 'maker'"),
    ("correction_differs", "UPDATE correction SET proposed_by = 'checker'"),
    ("correction_differs", "UPDATE correction SET expires_at = proposed_at"),
    ("correction_differs", """UPDATE correction_decision SET decided_at = '2020-01-01'"""),
    ("correction_differs", "UPDATE batch SET cause_id = NULL WHERE reverses IS NOT NULL"),
    ("correction_differs", "UPDATE batch SET actor = 'maker' WHERE reverses IS NOT NULL"),
    ("correction_differs", "UPDATE batch SET reverses = batch_id WHERE kind = 'claim.placed'"),
    ("correction_differs", """INSERT INTO correction_decision SELECT bucket, correction_id,
        'APPROVED', 'checker', proposed_at, '', gen_random_uuid() FROM correction AS c
        WHERE NOT EXISTS (SELECT FROM correction_decision AS d
                          WHERE d.correction_id = c.correction_id)"""),
    ("merger_differs", "UPDATE member SET merged_into = NULL"),
    ("merger_differs", "UPDATE member SET has_merged = false"),
    ("merger_differs", "UPDATE member SET has_merged = true WHERE merged_into IS NULL"),
    (
        "merger_differs",
        """UPDATE member SET merged_into = o.member_id FROM member AS o
           WHERE member.merged_into IS NOT NULL AND o.merged_into IS NULL AND NOT o.has_merged""",
    ),
    ("merger_differs", "DELETE FROM outbox WHERE type = 'member.merged'"),
    ("transfer_differs", "DELETE FROM outbox WHERE type = 'entitlement.received'"),
    ("transfer_differs", "DELETE FROM outbox WHERE type = 'entitlement.transferred'"),
    ("transfer_differs", "DELETE FROM outbox WHERE type = 'entitlement.debt_taken'"),
    ("transfer_differs", "DELETE FROM outbox WHERE type = 'entitlement.debt_given'"),
    ("transfer_differs", "UPDATE posting SET amount = 1 WHERE credit = 'transferred'"),
    (
        "transfer_differs",
        """UPDATE lot SET expires_at = expires_at + interval '1 day' WHERE lot_id IN (
               SELECT subject_id FROM outbox WHERE type = 'entitlement.received')""",
    ),
    ("lot_without_grant", "DELETE FROM outbox WHERE type = 'entitlement.received'"),
    ("request_without_claim", "DELETE FROM claim"),
    ("reading_without_delivery", "UPDATE claim SET state = 'HELD' WHERE code_sealed IS NOT NULL"),
    ("reading_without_delivery", """UPDATE code_reading SET member_id = (
        '00000000-0000-0000-0000-000000000' || right(claim_id::text, 3))::uuid"""),
    ("claim_without_request", "DELETE FROM provider_request"),
    ("claim_without_request", "DELETE FROM hold"),
    ("lot_without_grant", "DELETE FROM entitlement_grant"),
    ("request_without_claim", """UPDATE request SET operation = 'claim',
                                 ids = jsonb_build_object('claim_id', gen_random_uuid())"""),
    ("asset_month_differs", "UPDATE asset_month SET sum_minor = sum_minor + 1"),
    ("asset_month_differs", "UPDATE asset_month SET known_days = known_days & 1"),
    ("asset_month_differs", "DELETE FROM asset_month"),
    (
        "asset_converted_differs",
        """INSERT INTO asset_converted
           SELECT bucket, member_id, month, asset_class, 'USD', 5, 0, 5, 0, 0 FROM asset_month""",
    ),
    (
        "asset_joint_differs",
        """INSERT INTO asset_joint SELECT bucket, member_id, month, asset_class, currency,
           'SPLIT_EQUAL', 5, 0, 0, 5, 0, 0 FROM asset_month""",
    ),
    ("asset_month_differs", "UPDATE asset SET balance_minor = 1 WHERE as_of = '2025-06-07'"),
    ("asset_month_differs", "DELETE FROM asset WHERE as_of = '2025-06-30'"),
    ("asset_stretch_differs", "UPDATE asset_stretch SET sum_minor = sum_minor + 1"),
    ("asset_stretch_differs", "DELETE FROM asset_stretch"),
    ("asset_stretch_differs", "UPDATE asset SET balance_minor = 1 WHERE as_of = '2025-06-30'"),
    (
        "asset_stretch_folded_differs",
        """INSERT INTO asset_stretch_folded SELECT bucket, member_id, month, first_day, last_day,
           asset_class, currency, 'SPLIT_EQUAL', 5, 5, 0 FROM asset_stretch""",
    ),
    ("counter_differs", "UPDATE counter SET reserved = 0 WHERE counter = 'budget:lounge'"),
    ("counter_differs", "UPDATE counter SET spent = spent + 1 WHERE counter = 'stock:VIDEO'"),
    ("counter_differs", "DELETE FROM counter WHERE counter = 'stock:VIDEO'"),
    ("counter_differs", "UPDATE hold SET cost_minor = 1"),
    ("counter_differs", "INSERT INTO counter VALUES ('stock:X', 'all', 0, 1, 0)"),
    ("month_differs", "UPDATE month_total SET amount = amount + 1"),
    ("month_differs", "DELETE FROM month_total WHERE account = 'held'"),
    ("month_differs", "UPDATE batch SET booked_month = '2025-08-01' WHERE kind = 'claim.placed'"),
    ("month_differs", "UPDATE posting SET credit = 'expired' WHERE credit = 'redeemed'"),
    ("month_differs", "UPDATE installation SET open_month = '2025-07-01'"),
    ("month_differs", "DELETE FROM month_close"),
    ("month_differs", "DELETE FROM month_close WHERE month IN (SELECT month FROM month_total)"),
    ("month_differs", "UPDATE installation SET book_zone = 'UTC'"),
    ("counter_differs", "UPDATE counter SET slice = 1"),
    ("lot_differs", "UPDATE lot SET unit = 'BENEFIT:LOUNGE' WHERE unit = 'BENEFIT:VIDEO'"),
    ("lot_terms_differ", "UPDATE lot SET expires_at = expires_at + interval '1 year'"),
    ("lot_terms_differ", "UPDATE lot SET expires_at = NULL"),
    ("lot_terms_differ", "UPDATE lot SET priority = 9"),
    ("lot_terms_differ", "UPDATE lot SET granted_at = granted_at - interval '1 second'"),
    ("sweep_differs", "UPDATE lot SET swept = true WHERE remaining > held"),
    ("lot_terms_differ", "UPDATE lot SET cause = 'MAKE_GOOD'"),
    ("lot_terms_differ", "UPDATE lot SET programme = 'x'"),
    ("lot_terms_differ", "UPDATE lot SET line = 'x'"),
    ("lot_terms_differ", "UPDATE lot SET period = 'x'"),
    ("lot_terms_differ", "DELETE FROM outbox WHERE type = 'entitlement.granted'"),
    ("grant_differs", "UPDATE entitlement_grant SET quantity = quantity + 5"),
    ("grant_differs", "UPDATE entitlement_grant SET quota = quota + 5"),
    ("grant_differs", "UPDATE entitlement_grant SET granted_at = granted_at - interval '1 day'"),
    ("grant_differs", """INSERT INTO entitlement_grant
        SELECT bucket, member_id, programme, line, period || 'x', cause, quota, quantity,
               gen_random_uuid(), granted_at FROM entitlement_grant"""),
    ("choice_differs", """INSERT INTO choice
        SELECT l.bucket, l.lot_id, l.member_id, l.lot_id, gen_random_uuid(), l.programme, 'PICK',
               'LOUNGE', l.line, l.period, l.granted_at FROM lot AS l"""),
    ("grant_change_differs", """INSERT INTO entitlement_change
        SELECT l.bucket, l.member_id, l.programme, l.line, l.period, l.lot_id, b.batch_id, 1, 1,
               b.recorded_at FROM lot AS l
        JOIN batch AS b ON b.bucket = l.bucket AND b.member_id = l.member_id"""),
    ("grant_change_differs", "UPDATE batch SET kind = 'entitlement.reduced'"),
    ("hold_terms_differ", "UPDATE hold SET uncapped = quantity"),
    ("hold_terms_differ", "UPDATE hold SET placed_at = placed_at - interval '1 second'"),
    ("hold_terms_differ", "UPDATE hold SET unit = 'X'"),
    ("hold_terms_differ", "UPDATE hold SET batch_id = gen_random_uuid()"),
    ("hold_terms_differ", "UPDATE hold SET member_id = gen_random_uuid()"),
    ("hold_terms_differ", "UPDATE hold_end SET ended_at = ended_at - interval '1 second'"),
    ("hold_terms_differ", "UPDATE hold_end SET uncapped = released WHERE released > 0"),
    ("hold_terms_differ", "UPDATE hold_end SET captured = released, released = captured"),
    ("hold_terms_differ", "UPDATE hold_end SET batch_id = gen_random_uuid()"),
    ("claim_terms_differ", "UPDATE claim SET quantity = quantity + 1"),
    ("claim_terms_differ", "UPDATE claim SET programme = 'x'"),
    ("claim_terms_differ", "UPDATE claim SET instead_of = 'VIDEO'"),
    ("claim_terms_differ", "UPDATE claim SET programme_version = 7"),
    ("claim_terms_differ", "UPDATE claim SET benefit = 'VIDEO'"),
    ("claim_terms_differ", "UPDATE claim SET cap_window = '2025-06'"),
    ("claim_terms_differ", "UPDATE claim SET claimed_at = claimed_at - interval '1 second'"),
    ("claim_terms_differ", "UPDATE claim SET reason = '' WHERE state = 'COMPENSATED'"),
    ("claim_terms_differ", "UPDATE claim SET deadline = deadline - interval '1 hour'"),
    ("claim_terms_differ", "UPDATE claim SET state = 'ISSUED' WHERE state = 'COMPENSATED'"),
    ("claim_terms_differ", "UPDATE claim SET state = 'REDEEMED' WHERE state = 'ISSUED'"),
    ("claim_terms_differ", "UPDATE claim SET state = 'ISSUED' WHERE state = 'REDEEMED'"),
    ("claim_terms_differ", "UPDATE outbox SET subject_id = gen_random_uuid()"),
    ("batch_terms_differ", "UPDATE outbox SET type = 'entitlement.revoked'"),
    ("batch_terms_differ", "UPDATE batch SET kind = 'entitlement.revoked'"),
    ("batch_terms_differ", "UPDATE batch SET effective_at = effective_at + interval '1 day'"),
    ("batch_terms_differ", "UPDATE batch SET recorded_at = recorded_at - interval '1 day'"),
    ("batch_terms_differ", "UPDATE batch SET member_id = gen_random_uuid()"),
    ("postings_unlike_kind", "UPDATE batch SET kind = 'claim.placed'"),
    ("postings_unlike_kind", "UPDATE posting SET credit = 'loss' WHERE credit = 'available'"),
    ("correction_terms_differ", "UPDATE correction SET digest = repeat('0', 64)"),
    ("correction_terms_differ", """UPDATE correction_decision
                                   SET decided_at = decided_at + interval '1 second'"""),
    ("digest_differs", "UPDATE correction SET digest = repeat('0', 64)"),
    ("digest_differs", "UPDATE correction SET body = jsonb_set(body, array['quantity'], '99')"),
    ("digest_differs", "UPDATE correction SET body = jsonb_build_object()"),
    ("digest_differs", "UPDATE correction SET effect = jsonb_build_object()"),
    ("digest_differs", """UPDATE correction
        SET effect = jsonb_set(effect, array['would', 'cap'], '99')"""),
    ("digest_differs", "UPDATE correction SET note = 'innocent'"),
    ("digest_differs", "UPDATE correction SET reason = 'FRAUD'"),
    ("digest_differs", "UPDATE correction SET kind = 'FORGIVE'"),
    ("digest_differs", "UPDATE correction SET proposed_by = 'third'"),
    ("digest_differs", "UPDATE correction SET proposed_at = proposed_at - interval '1 second'"),
    ("digest_differs", "UPDATE correction SET expires_at = expires_at + interval '1 day'"),
    ("decided_by_proposer", """UPDATE correction_decision AS d
        SET decided_by = c.proposed_by FROM correction AS c
        WHERE c.correction_id = d.correction_id"""),
    ("decided_by_proposer", """UPDATE correction_decision
                               SET verdict = 'WITHDRAWN', batch_id = NULL"""),
    ("history_disordered", """UPDATE outbox SET recorded_at = recorded_at - interval '1 day'
                              WHERE seq = 3"""),
    ("history_disordered", "UPDATE outbox SET position = 0 WHERE seq = 3"),
    ("history_disordered", "UPDATE outbox SET seq = seq + 90 WHERE seq > 3"),
    ("history_disordered", "UPDATE member SET recorded_at = '2099-01-01'"),
    ("history_disordered", "UPDATE member SET recorded_at = '2001-01-01'"),
    ("history_disordered", "UPDATE member SET event_position = 0"),
    ("request_differs", "DELETE FROM request"),
    ("request_differs", "UPDATE request SET refusal = 'busy' WHERE operation = 'claim'"),
    ("request_differs", """UPDATE request SET ids = jsonb_build_object()
                           WHERE operation = 'reward'"""),
    ("request_differs", """UPDATE request SET ids = jsonb_build_object()
                           WHERE operation LIKE '%_correction'"""),
    ("request_differs", "DELETE FROM correction_decision"),
    ("benefit_unknown", "UPDATE claim SET benefit = 'YACHT' WHERE benefit = 'LOUNGE'"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "tampering"), MATRIX)
async def test_tampering_is_named(old_world: World, kind: str, tampering: str) -> None:
    """Each kind of finding names what a superuser did past triggers and constraints (I9)."""
    await change(old_world, AS_SUPERUSER, tampering)
    assert kind in await kinds(old_world)


async def test_each_kind_of_finding_is_provoked() -> None:
    """A new check must come with a row of the matrix; codes have tests of their own."""
    others = {"counter_differs", "benefit_unknown", "month_differs"}
    others |= {"digest_differs", "decided_by_proposer"}
    assert {*CHECKS, *TERMS, *others} - {"codes_differ"} == {kind for kind, _ in MATRIX}


async def test_a_finding_names_the_row_and_the_difference(world: World) -> None:
    """An operator sees whose wallet differs, and by how much."""
    member = await holder(world, quantity=2)
    await change(world, "UPDATE wallet SET available = 7")
    (finding,) = await world.findings()
    assert ("wallet_differs", f"{member} BENEFIT:VIDEO", "wallet 7/0/0, postings 2//") == (
        finding.kind,
        finding.subject,
        finding.detail,
    )


async def test_every_bucket_is_looked_at(world: World) -> None:
    """Members in any slice of the buckets are verified."""
    members = await world.members(40)
    await give(world, *(gift(member) for member in members))
    await change(world, "UPDATE wallet SET available = 0")
    subjects = {finding.subject.split()[0] for finding in await world.findings()}
    assert {str(member) for member in members} == subjects
