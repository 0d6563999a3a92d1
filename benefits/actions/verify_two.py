"""Verify what two people agreed on: it is what was proposed, and nobody decided their own."""

from collections.abc import Iterator
from datetime import timedelta

from benefits.domain.corrections import same_person
from benefits.store.corrections import CorrectionSeen
from benefits.store.fills import FillSeen
from benefits.store.proposals import ProposalSeen
from benefits.store.verify import Finding


def differences(
    subject: str,
    one: CorrectionSeen | FillSeen | ProposalSeen,
    *,
    digest: str,
    open_for: timedelta,
) -> Iterator[Finding]:
    """Yield where a proposal is not what `digest` is of, or was decided by the wrong person."""
    if digest != one.digest or one.expires_at != one.proposed_at + open_for:
        yield Finding("digest_differs", subject, "not what was proposed")
    by_self = one.decided_by is not None and same_person(one.proposed_by, one.decided_by)
    if one.verdict is not None and by_self != (one.verdict == "WITHDRAWN"):
        detail = f"{one.verdict}: proposed by {one.proposed_by}, decided by {one.decided_by}"
        yield Finding("decided_by_proposer", subject, detail)
