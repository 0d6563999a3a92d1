"""The committed log, lived again by the model: each outcome must be the one the rules give."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from benefits.actions.claim import ClaimUnits
from benefits.actions.deliver import Work
from benefits.actions.grant import RewardMember
from benefits.actions.keyed import Accepted, Refused
from benefits.domain.orders import NotFound, NotSent, Operation, Outcome, Unknown
from benefits.domain.values import end_of, local_date
from tests.actions.life import said
from tests.builders import reference_programme
from tests.machine.model import Model
from tests.machine.witness import Step

ZONE = reference_programme().tz


@dataclass
class Replay:
    """A model that is told the committed transactions in their order."""

    model: Model
    members: Sequence[UUID]
    grace: timedelta
    known: dict[tuple[str, str, str], tuple[bytes, Any]] = field(default_factory=dict)
    rewarded: dict[tuple[UUID, str, str], str] = field(default_factory=dict)
    attempts: dict[UUID, int] = field(default_factory=dict)
    callbacks: dict[str, tuple[UUID, Outcome]] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)

    def live(self, step: Step, happened: Sequence[Any]) -> None:
        """Live one transaction; `happened` are the sweeps' events in it."""
        match step.kind:
            case "claim" | "reward":
                for command, outcome in zip(step.asked, step.answered, strict=True):
                    self._decide(command, outcome, step.now)
            case "lease":
                for work in step.answered:
                    self._lease(work)
            case "record":
                self._record(step.asked, step.now)
            case "callback":
                self.model.learn(*self.callbacks[step.asked], step.now)
            case "expire":
                self._expire(happened, step.now)
            case "lapse":
                self._lapse(happened, step.now)
            case _:
                raise AssertionError(step.kind)

    def _decide(self, command: Any, outcome: Any, now: datetime) -> None:
        """Hold the outcome of a command against what its key, or else the rules, say."""
        if said(outcome) == "busy":
            return
        key = (command.request_key.caller, command.request_key.operation, command.key)
        if key in self.known:
            body, before = self.known[key]
            if body != command.body:
                assert "idempotency_key_conflict" == said(outcome)
            else:
                assert (before, True) == (_plain(outcome), outcome.replayed)
            self.codes.add("replayed" if body == command.body else said(outcome))
            return
        rules = self._claim if isinstance(command, ClaimUnits) else self._reward
        stored = rules(command, outcome, now)
        if stored:
            self.known[key] = (command.body, _plain(outcome))
        self.codes.add(said(outcome))

    def _claim(self, command: ClaimUnits, outcome: Any, now: datetime) -> bool:
        asked = (command.member_id, command.benefit, command.quantity)
        if command.member_id not in self.members:
            assert "unknown_member" == said(outcome)
            return False
        refusals = self._refused(command, now)
        assert said(outcome) in (refusals or {"ok"}), (command, outcome, refusals)
        if isinstance(outcome, Accepted):
            id_ = UUID(outcome.ids["claim_id"])
            self.model.claim(id_, *asked[:2], quantity=asked[2], now=now)
        return True

    def _refused(self, command: ClaimUnits, now: datetime) -> set[str]:
        """Return the codes that may refuse a claim, its form first."""
        if not 1 <= command.quantity <= 100:
            return {"quantity_invalid"}
        if command.benefit not in self.model.terms:
            return {"unknown_benefit"}
        if not command.recipient:
            return {"recipient_incomplete"}
        return self.model.answer(command.member_id, command.benefit, command.quantity, now)

    def _reward(self, command: RewardMember, outcome: Any, now: datetime) -> bool:
        once = (command.member_id, command.benefit, command.business_key)
        if command.member_id not in self.members:
            assert "unknown_member" == said(outcome)
            return True
        assert isinstance(outcome, Accepted), outcome
        lot_id = outcome.ids["lot_id"]
        if once in self.rewarded:
            assert (self.rewarded[once], "0") == (lot_id, outcome.ids["granted"])
            return True
        assert str(command.quantity) == outcome.ids["granted"]
        assert isinstance(command.quantity, int), "of this programme units have no decimals"
        self.rewarded[once] = lot_id
        end = end_of(local_date(now, ZONE) + timedelta(days=command.valid_days), ZONE)
        self.model.grant(UUID(lot_id), *once[:2], quantity=command.quantity, end=end)
        return True

    def _lease(self, work: Work) -> None:
        request = work.request
        assert request.attempt == self.attempts.get(request.request_id, 0) + 1
        self.attempts[request.request_id] = request.attempt
        self.model.leased(request.claim_id)

    def _record(self, attempt: tuple[Work, Outcome], now: datetime) -> None:
        work, outcome = attempt
        claim_id, sent_by = work.request.claim_id, work.request.sent_by
        newest = self.attempts[work.request.request_id] == work.request.attempt
        query = work.call.operation is Operation.QUERY
        if isinstance(outcome, NotSent) and newest and not query:
            self.model.not_sent(claim_id)
        elif isinstance(outcome, NotFound) and sent_by and now - sent_by >= self.grace:
            self.model.rejected(claim_id, now)
        elif isinstance(outcome, NotSent | NotFound | Unknown):
            self.model.undecided(claim_id)
        else:
            self.model.learn(claim_id, outcome, now)

    def _expire(self, happened: Sequence[Any], now: datetime) -> None:
        for event in happened:
            lot = self.model.lots[event.subject_id]
            assert lot.expires_at <= now
            assert (lot.available, "entitlement.expired") == (event.data["quantity"], event.type)
            lot.expired, lot.available = lot.expired + lot.available, 0

    def _lapse(self, happened: Sequence[Any], now: datetime) -> None:
        lapsed = {event.subject_id for event in happened}
        assert lapsed <= self.model.overdue(now)
        self.model.lapse(now, lapsed)


def _plain(outcome: Any) -> Any:
    """Return an outcome without the note that it was heard before."""
    if isinstance(outcome, Accepted):
        return outcome.ids
    return outcome.code if isinstance(outcome, Refused) else said(outcome)
