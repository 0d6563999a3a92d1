"""Open a provider's code for somebody, and record who looked at it, in one transaction.

The code itself stands in no event, no log line and no answer but this one. One of our stock that
was shown is its claim's for ever (V-9). Whoever wants to see one once more says why.
"""

import enum
from uuid import UUID

from benefits.actions.parts import Parts
from benefits.domain.orders import DELIVERED
from benefits.domain.refusal import Refusal
from benefits.domain.values import bucket_of
from benefits.store import codes, members, pages, pool
from benefits.store.codes import Reading
from benefits.store.db import Connection


class CodeAbsent(Refusal):
    """The claim is not delivered, or its provider gave no code."""

    code = "code_absent"
    words = "This claim has no code to show."


class CodeShown(Refusal):
    """The code was shown before, and nobody said why it is to be shown again."""

    code = "code_shown"
    words = "The code was shown before; say why it is to be shown again."


class SecondLook(enum.Enum):
    """Why somebody looks at a code that was shown before."""

    NOT_ARRIVED = "NOT_ARRIVED"  # the connection broke, the page was closed
    NEEDED_AGAIN = "NEEDED_AGAIN"


async def read_code(
    conn: Connection,
    claim_id: UUID,
    parts: Parts,
    *,
    actor: str,
    member_id: UUID | None = None,
    again: SecondLook | None = None,
) -> str | None:
    """Return a delivered claim's code or codes; None when there is no such claim (CodeAbsent).

    With `member_id` only that member's claims are known, and those of who was merged into them.
    It is shown once; a further look says why it is to be shown `again` (CodeShown).
    """
    whose = await pages.member_of_claim(conn, claim_id)
    if whose is None or member_id not in {None, whose}:
        return None
    await members.lock(conn, [whose], wait=True)  # of two looks at once one is the first
    now = parts.clock()
    await pool.show(conn, claim_id, now)  # from here on it is not put back
    kept = await codes.of_claim(conn, claim_id)
    if kept is None:
        return None
    if kept.state not in DELIVERED or kept.sealed is None:
        raise CodeAbsent
    was_shown = (await codes.readings(conn, claim_id)).times > 0
    if was_shown and again is None:
        raise CodeShown
    reading = Reading(
        reading_id=parts.new_id(now, bucket_of(claim_id)),
        member_id=kept.member_id,
        claim_id=claim_id,
        actor=actor,
        read_at=now,
        again=again.value if again is not None and was_shown else "",
    )
    await codes.put_reading(conn, reading)
    return parts.envelope.open(kept.sealed).decode()
