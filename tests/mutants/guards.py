"""What guards the ledger beside its rules, each with what is left when somebody takes it away."""

from typing import NamedTuple

RACES = "tests/actions/test_races.py"
KEYS = "tests/actions/test_keys.py"
CLAIM = "tests/actions/test_claim.py"
FAILURES = "tests/actions/test_failures.py"
RESOLVE = "tests/actions/test_resolve.py"
STORMS = "tests/machine/test_storms.py"
CUTS = "tests/machine/test_cuts.py"
LAWS = "tests/machine/test_laws.py"
REPLAY = "tests/machine/test_replay.py"
PRICES = "tests/actions/test_prices.py"
REDEEM = "tests/actions/test_redeem.py"
ORDERS = "tests/domain/test_orders.py"
RECOVERIES = "tests/actions/test_recoveries.py"
WHITELISTS = "tests/actions/test_whitelists.py"
GRANTED = "tests/actions/test_claim_granted.py"
GROUP = "tests/store/test_group.py"
GRANTS = "tests/store/test_grants.py"
LEDGER = "benefits/store/ledger.py"
DB = "benefits/store/db.py"
FLUSH = "benefits/store/group.py"
PIECES = "tests/actions/test_pieces.py"
RESTS = "tests/actions/test_rests.py"
WAITS = "tests/actions/test_waits.py"
SHARED = "tests/actions/test_shared_limits.py"
STACKED = "tests/actions/test_stacked_falls.py"
STACKING = "tests/actions/test_stacking.py"
SERVE = "benefits/actions/serve_waits.py"
PAID = "tests/actions/test_paid_by_use.py"
ARCHIVE = "tests/actions/test_archive_races.py"
MADE_GOOD = "tests/actions/test_make_good.py"
EDGES = "tests/actions/test_edges.py"
CAPACITY = "benefits/actions/capacity.py"
EFFECTS = "benefits/actions/effects.py"
LATTICE = "benefits/domain/lattice.py"
FIRST = "migrations/versions/0001_first.py"


class Guard(NamedTuple):
    """A piece of a module, what stands there without it, and the tests that must notice."""

    path: str
    before: str
    after: str
    tests: tuple[str, ...]


LOCKS = (
    Guard("benefits/store/members.py", "FOR NO KEY UPDATE OF m", "", (RACES,)),
    Guard(
        "benefits/store/members.py",
        'LOCK_FREE = _LOCK + " SKIP LOCKED"',
        "LOCK_FREE = _LOCK",
        (RACES,),
    ),
    Guard("benefits/store/counters.py", "slice FOR NO KEY UPDATE", "slice", (STORMS,)),
    Guard("benefits/store/inbox.py", "FOR NO KEY UPDATE SKIP LOCKED", "", (RACES,)),
    Guard("benefits/actions/expire.py", "claim.deadline <= now", "True", (RACES,)),
)
KEYED = (
    Guard("benefits/actions/keyed.py", "if found[0] != body:", "if False:", (KEYS, CLAIM)),
    Guard("benefits/actions/keyed.py", "or self._new.get(key)", "", (KEYS, CLAIM)),
    Guard(
        "benefits/actions/keyed.py",
        "elif self._replayed is not None:",
        "elif False:",
        (LAWS,),
    ),
    Guard("benefits/actions/keyed.py", "if before is not None:", "if False:", (KEYS, CLAIM)),
    Guard(
        FIRST,
        "CONSTRAINT pk_request PRIMARY KEY (bucket, caller, operation, key)",
        "CHECK (true)",
        (RACES,),
    ),
    Guard(FIRST, "CONSTRAINT pk_hold_end PRIMARY KEY (bucket, hold_id)", "CHECK (true)", (LAWS,)),
)
ROOM = (
    Guard(
        "benefits/actions/room.py",
        "if wanted.units and used + wanted.units > limit:",
        "if False:",
        (STORMS,),
    ),
    Guard(
        "benefits/actions/room.py",
        "if given + claim.quantity > benefit.stock:",
        "if False:",
        (STORMS,),
    ),
    Guard(
        "benefits/actions/room.py",
        "if total is not None and capacity.taken(budget_key(budget)).taken + cost > total:",
        "if False:",
        (STORMS,),
    ),
    Guard("benefits/actions/effects.py", "if hold.ended:", "if False:", (RESOLVE,)),
    Guard(
        CAPACITY,
        "self.shared = await counters.lock",
        "self.shared = await counters.read",
        (RACES,),
    ),
    Guard(CAPACITY, "kept = await counters.lock", "kept = await counters.read", (EDGES,)),
    Guard(CAPACITY, "raise Outdated", "pass", (EDGES,)),
    Guard(CAPACITY, "raise Unlocked", "pass", (EDGES,)),
    Guard(CAPACITY, "if edges is None or not edges.are_far(seen):", "if edges is None:", (EDGES,)),
    Guard(
        CAPACITY,
        "self.used.get(mine, 0) + amount",
        "self.used.get(mine, 0)",
        (CLAIM,),
    ),
    Guard(
        "benefits/store/members.py",
        "id_ not in found or moved.get(id_, id_) not in found",
        "id_ not in found",
        ("tests/actions/test_merged_limits.py",),
    ),
    Guard(
        CAPACITY,
        "return CounterUse(held.reserved + more.use.reserved, held.spent + more.use.spent)",
        "return held",
        (CLAIM,),
    ),
)
TIME = (
    Guard(
        LEDGER,
        "max(self._now, last + timedelta(microseconds=1))",
        "self._now",
        (CLAIM, RESOLVE, REPLAY),
    ),
    Guard(LEDGER, "WHERE l.expires_at > $4::timestamptz", "WHERE l.expires_at > now()", (CLAIM,)),
    Guard(
        LEDGER, "self.lots.update(post(touched, postings))", "post(touched, postings)", (CLAIM,)
    ),
    Guard(LEDGER, "self._changed.update(touched)", "pass", (CLAIM,)),
    Guard(LEDGER, "wallet[place] += -amount", "wallet[place] -= -amount", (CLAIM,)),
)
ERRORS = (
    Guard(
        DB, 'TRANSIENT = {"40001", "40P01", "23505"}', 'TRANSIENT = {"40P01", "23505"}', (CUTS,)
    ),
    Guard(
        DB, 'TRANSIENT = {"40001", "40P01", "23505"}', 'TRANSIENT = {"40001", "23505"}', (CUTS,)
    ),
    Guard(DB, '"pk_request", ', "", (RACES,)),
    Guard(DB, "TRIES = 5", "TRIES = 4", (CUTS,)),
    Guard(DB, "TRIES = 5", "TRIES = 6", (CUTS,)),
    Guard(DB, 'BUSY = {"55P03"}', "BUSY = set()", (CUTS,)),
    Guard(DB, "return sqlstate(error).startswith(AWAY)", "return False", (CUTS,)),
    Guard(FLUSH, "if is_away(error):", "if False:", (CUTS,)),
    Guard(FLUSH, "if len(group) > 1 and not is_away(error):", "if False:", (GROUP,)),
    Guard(FLUSH, "if is_busy(error):", "if False:", (GROUP,)),
    Guard(FLUSH, "elif not waiting.answer.done():", "else:", (GROUP,)),
    Guard(FLUSH, "self._waiting() < QUEUE_MAX", "True", (GROUP,)),
)
ROWS = (
    Guard(FIRST, "CONSTRAINT ck_posting_amount CHECK (amount > 0)", "CHECK (true)", (LAWS,)),
    Guard(
        FIRST, "CONSTRAINT ck_posting_accounts CHECK (debit <> credit)", "CHECK (true)", (LAWS,)
    ),
    Guard(
        FIRST,
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE",
        "CREATE TRIGGER refuse_change BEFORE DELETE",
        (FAILURES,),
    ),
    Guard(
        "migrations/versions/0019_feeds.py",
        "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I",
        "CREATE TRIGGER refuse_truncate AFTER INSERT ON %I",
        (FAILURES,),
    ),
)
USES = (
    Guard(
        EFFECTS,
        "minor = (used if paid is None else paid) * self._piece(claim, used_at) if used else 0",
        "minor = hold.cost_minor * used // claim.quantity",
        (PRICES,),
    ),
    Guard(
        EFFECTS, "told = None if minor == worst else minor", "told: int | None = None", (PRICES,)
    ),
    Guard(EFFECTS, "lost + ledger.bear(replace(price, minor=paid))", "lost", (RECOVERIES,)),
    Guard(
        "benefits/actions/spent.py",
        "return parts if is_whole and not by_hand else []",
        "return [] if by_hand else parts",
        (RECOVERIES,),
    ),
    Guard(
        EFFECTS,
        "self._reversals.append(Reversal(spent.batch_id, batch_id, undone))",
        "pass",
        (REDEEM,),
    ),
    Guard(
        "benefits/actions/resolve.py",
        "undone = {a.claim_id for a in answers if self._may_undo(a)}",
        "undone = set[UUID]()",
        (REDEEM,),
    ),
    Guard(LATTICE, "moved = Effect.RECKON", "pass", (ORDERS,)),
    Guard(LATTICE, "return terms.quantity - course.used", "return 0", (ORDERS, PAID)),
    Guard(EFFECTS, "if not parts or minor == before:", "if True:", (PAID,)),
    Guard("benefits/actions/pieces.py", "claim.missing -= more", "pass", (PIECES,)),
    Guard("benefits/actions/pieces.py", "_together(held + parts)", "held + parts", (PIECES,)),
    Guard(
        "benefits/actions/resolve.py",
        " or (came < claim.told and not confirms):",
        ":",
        (PIECES,),
    ),
    Guard("benefits/actions/resolve.py", "came < claim.told and not confirms", "True", (RESTS,)),
    Guard(
        "benefits/actions/answers.py", "or (issues and has_new_rest(resolved, now))", "", (RESTS,)
    ),
    Guard("benefits/actions/answers.py", " or has_new_rest(resolved, now):", ":", (RESTS,)),
    Guard(LATTICE, "if known >= told:", "if False:", (ORDERS,)),
    Guard(
        LATTICE,
        "if state is OrderState.REDEEMED and course.used_at is None:",
        "if False:",
        (ORDERS,),
    ),
    Guard("benefits/actions/claim_granted.py", 'key=f"{key}:{nth}"', "key=key", (GRANTED,)),
)
DATES = (
    Guard(
        "benefits/actions/judge_month.py",
        "stood = await evaluations.stood(conn, judges.programme, month, ids) if ids else {}",
        "stood = {}",
        ("tests/actions/test_evaluate_again.py",),
    ),
    Guard(
        "benefits/actions/judge_month.py",
        "stood |= {id_: lower[id_] for id_ in confirmed}",
        "",
        ("tests/actions/test_evaluate_again.py",),
    ),
    Guard(
        "benefits/store/whitelists.py",
        "CASE WHEN n.member_id IS NULL THEN $3::date ELSE $4::date END",
        "$4::date",
        (WHITELISTS,),
    ),
    Guard(
        "benefits/actions/record_whitelist.py",
        "if last is None or last.number != snapshot.number:",
        "if last is None:",
        (WHITELISTS,),
    ),
    Guard(
        "benefits/store/catalogue.py",
        "if one.effective_from > now",
        "if False",
        ("tests/actions/test_dating.py",),
    ),
    Guard(
        "benefits/store/members.py",
        "await member_past.keep(conn, [row.member_id for row in dated], now)",
        "",
        ("tests/actions/test_replay.py",),
    ),
    Guard(
        "benefits/store/merged.py",
        "await member_past.keep(conn, [*ids, into], now)",
        "",
        ("tests/actions/test_replay.py",),
    ),
)
QUEUED = (
    Guard(
        "benefits/domain/limits.py",
        "self.used + self.kept + wanted <= self.most",
        "self.used + wanted <= self.most",
        (WAITS,),
    ),
    Guard("benefits/actions/queues.py", "self._wanted[queue] += pieces", "pass", (WAITS,)),
    Guard("benefits/actions/queues.py", "self._wanted.get(queue, most)", "most", (WAITS,)),
    Guard("benefits/actions/waiting.py", "if key in self._open:", "if False:", (WAITS,)),
    Guard(
        "benefits/actions/waiting.py",
        "self._capacity.add(queue_key(turn.queue), CounterUse(-1))",
        "pass",
        (WAITS,),
    ),
    Guard(
        "benefits/actions/claim.py",
        "if command.turn is not None and command.turn.is_over(self.now):",
        "if False:",
        (WAITS,),
    ),
    Guard(
        "benefits/domain/waits.py",
        "queue == self.queue or (first is not None and self.wait_id < first)",
        "queue == self.queue",
        (WAITS,),
    ),
    Guard(
        "benefits/domain/limits.py",
        'return f"{name}:{place.window}" if self.on_full is OnFull.WAITLIST else name',
        "return name",
        (WAITS,),
    ),
    Guard(SERVE, "if not isinstance(said, Busy)", "", (WAITS,)),
    Guard(
        "benefits/domain/entitlement.py",
        "return wanted - uncapped_units(parts, {lot.lot_id: lot for lot in there})",
        "return wanted",
        (WAITS,),
    ),
    Guard(
        "benefits/store/waits.py", "next_at = NULL, body_sealed = NULL", "next_at = NULL", (WAITS,)
    ),
)
ROLLING = (
    Guard(CAPACITY, "windows.add(place.turn)", "pass", (SHARED,)),
    Guard(
        CAPACITY,
        "self.many = await counters.recent_sums(conn, many)",
        "self.many = dict.fromkeys(many, 0)",
        (SHARED,),
    ),
    Guard(
        "benefits/actions/room.py", "return limits.fits(", "return True or limits.fits(", (SHARED,)
    ),
)
STACKS = (
    Guard("benefits/actions/stack.py", "nets[code] -= falls[code].free", "pass", (STACKED,)),
    Guard("benefits/actions/stack.py", "elif not due.stacks.is_forfeit:", "else:", (STACKED,)),
    Guard(
        "benefits/domain/stacking.py",
        "stays[n] = min(fall.free, still) if fall else 0",
        "stays[n] = fall.free if fall else 0",
        ("tests/domain/test_stacking.py",),
    ),
    Guard(
        "benefits/actions/fall.py",
        "due = [one for one in due if one.stack not in settled]",
        "pass",
        (STACKING,),
    ),
    Guard(
        "benefits/actions/fall.py",
        "stays |= {one.place: one.stays for one in there if one.place in stays}",
        "pass",
        (STACKING,),
    ),
)
ONCE = (
    Guard("benefits/store/carried.py", "    await run(conn, STEADY)\n", "", (ARCHIVE,)),
    Guard(
        "benefits/actions/archive_month.py",
        "if await store.given_back_since(conn, month):",
        "if False:",
        (ARCHIVE,),
    ),
    Guard("benefits/store/corrections.py", "    if is_away:\n", "    if False:\n", (ARCHIVE,)),
    Guard(EFFECTS, "(known and effect is Effect.RESTORE)", "False", (MADE_GOOD,)),
    Guard(
        EFFECTS, "ended -= min(ended, self._gone.get(claim.claim_id, before))", "", (MADE_GOOD,)
    ),
    Guard(EFFECTS, "gone += max(0, hold.quantity - there.used)", "pass", (MADE_GOOD,)),
    Guard("benefits/domain/corrections.py", "    if order.holds:", "    if False:", (MADE_GOOD,)),
    Guard(
        "benefits/actions/weigh_correction.py",
        " + matter.made_good - by_hand.units",
        "",
        (MADE_GOOD,),
    ),
)
GUARDS: tuple[Guard, ...] = (
    *(*LOCKS, *KEYED, *ROOM, *TIME, *ERRORS, *ROWS, *USES, *DATES),
    *(*QUEUED, *ROLLING, *STACKS, *ONCE),
)
