"""The compliance guard: what a programme gives for what, and whether it may (X-1).

A line brings its benefit for a TIER, and for a DEPOSIT where nothing else counts for tiers: where
every asset class that does is of deposits (DEPOSIT, or a code that begins so). What is rewarded
is rewarded for one of the benefit's `triggers`. Each pair is judged when a version is put into
force, so that a reward for a trigger that the version declares has been judged.
"""

from collections.abc import Collection, Iterable
from decimal import Decimal

import msgspec

from benefits.domain import compliance
from benefits.domain.benefit import Benefit
from benefits.domain.compliance import Nature, Preset, Trigger, Verdict
from benefits.domain.programme import Item, Programme
from benefits.domain.refusal import Refusal
from benefits.domain.units import Quantity

DEPOSIT = "DEPOSIT"  # how asset classes of deposits begin


class ComplianceForbidden(Refusal):
    """The programme's rules forbid to give this for that; the words cite what says so (X-1)."""

    code = "compliance_forbidden"
    words = "This must not be given for that."


class ComplianceUnapproved(Refusal):
    """Two people have to agree on a combination before it is given (X-1)."""

    code = "compliance_unapproved"
    words = "Two people have not agreed on this combination."


class TriggerUndeclared(Refusal):
    """The benefit is not declared as a reward for this trigger, or for any (X-1)."""

    code = "trigger_undeclared"
    words = "The benefit is no reward for this."


class Pair(msgspec.Struct, frozen=True):
    """What two people may agree on: a nature of reward for a trigger."""

    trigger: Trigger
    nature: Nature


class Finding(msgspec.Struct, frozen=True):
    """A benefit that is given for a trigger and may not be, or not without an approval."""

    benefit: str
    trigger: Trigger
    nature: Nature
    verdict: Verdict
    citation: str

    @property
    def pair(self) -> Pair:
        """What an approval of it is for."""
        return Pair(self.trigger, self.nature)

    def __str__(self) -> str:
        """Write it as a line."""
        return f"{self.benefit}: {self.nature.value} for {self.trigger.value}: {self.citation}"


def _triggers(programme: Programme, benefit: Benefit) -> frozenset[Trigger]:
    """Return what a benefit is given for: by lines and rewards of all units that it takes."""
    found = set[Trigger]()
    for taker in (one for one in programme.benefit if benefit in programme.succession(one)):
        owner = programme.benefits[taker.draws] if taker.draws else taker
        for line in (line for line in programme.line if programme.may_bring(line, owner.code)):
            found.add(Trigger.TIER)
            if line.segment is None and _counts_deposits_alone(programme):
                found.add(Trigger.DEPOSIT)
        found.update(owner.triggers)
    return frozenset(found)


def _counts_deposits_alone(programme: Programme) -> bool:
    """Say whether nothing but deposits counts for the tiers, each day or by a point in time."""
    counting = {
        code
        for basket in programme.baskets
        for weights in (basket.weights, basket.points)
        for code, weight in zip(basket.classes, weights, strict=False)
        if weight > 0
    }
    return all(code.startswith(DEPOSIT) for code in counting)


def findings(programme: Programme) -> tuple[Finding, ...]:
    """Return all that a programme gives and may not, or not without an approval (X-1)."""
    if programme.compliance is Preset.NONE:
        return ()
    found = list[Finding]()
    for benefit in programme.benefit:
        triggers = _triggers(programme, benefit)
        for trigger in sorted(triggers, key=list(Trigger).index):
            verdict, citation = compliance.matrix(trigger, benefit.nature)
            if trigger is Trigger.RANDOM_DRAW:
                against = compliance.prize(benefit.worth) or compliance.drawn_sale(triggers)
                if against:
                    verdict, citation = Verdict.FORBIDDEN, against
            if verdict is not Verdict.ALLOWED:
                found.append(Finding(benefit.code, trigger, benefit.nature, verdict, citation))
    return tuple(found)


def check(found: Iterable[Finding], approved: Collection[Pair]) -> None:
    """Refuse what is forbidden, and what nobody approved.

    ComplianceForbidden, ComplianceUnapproved.
    """
    every = tuple(found)
    forbidden = [str(each) for each in every if each.verdict is Verdict.FORBIDDEN]
    if forbidden:
        raise ComplianceForbidden("\n".join(forbidden))
    unapproved = [str(each) for each in every if each.pair not in approved]
    if unapproved:
        raise ComplianceUnapproved("\n".join(unapproved))


def check_reward(
    programme: Programme, item: Item, trigger: Trigger | None, quantity: Quantity
) -> Refusal | None:
    """Return why a reward is not given for a trigger; None for whichever the benefit declares.

    What may be drawn is never worth more than a prize may be, by the dearest that its units buy,
    and whatever the caller says that this one is for. Of a choice each benefit may come of it.
    """
    codes = [item.code] if isinstance(item, Benefit) else item.benefits
    found = (_against(programme, programme.benefits[one], trigger, quantity) for one in codes)
    return next((refusal for refusal in found if refusal is not None), None)


def _against(
    programme: Programme, benefit: Benefit, trigger: Trigger | None, quantity: Quantity
) -> Refusal | None:
    """Return why a benefit is no reward for a trigger."""
    declared = ", ".join(each.value for each in benefit.triggers) or "nothing"
    if not benefit.triggers or (trigger is not None and trigger not in benefit.triggers):
        return TriggerUndeclared(f"{benefit.code} is a reward for {declared}.")
    if Trigger.RANDOM_DRAW in benefit.triggers and programme.compliance is Preset.CHINA:
        takers = (one for one in programme.benefit if benefit.code in {one.code, one.draws})
        bought = [one for taker in takers for one in programme.succession(taker)]
        worth = max(one.worth * Decimal(quantity) / one.takes for one in bought)
        if against := compliance.prize(worth):
            return ComplianceForbidden(against)
    return None
