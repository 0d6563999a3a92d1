"""Open a provider's code for somebody, and record who looked at it, in one transaction.

The code itself stands in no event, no log line and no answer but this one. One of our stock that
was shown is its claim's for ever (V-9).
"""

from uuid import UUID

from benefits.actions.parts import Parts
from benefits.domain.orders import DELIVERED
from benefits.domain.refusal import Refusal
from benefits.domain.values import bucket_of
from benefits.store import codes, pages, pool
from benefits.store.db import Connection


class CodeAbsent(Refusal):
    """The claim is not delivered, or its provider gave no code."""

    code = "code_absent"
    words = "This claim has no code to show."


async def read_code(
    conn: Connection, claim_id: UUID, parts: Parts, *, actor: str, member_id: UUID | None = None
) -> str | None:
    """Return a delivered claim's code or codes; None when there is no such claim (CodeAbsent).

    With `member_id` only that member's claims are known, and those of who was merged into them.
    """
    whose = await pages.member_of_claim(conn, claim_id)
    if whose is None or member_id not in {None, whose}:
        return None
    now = parts.clock()
    await pool.show(conn, claim_id, now)  # from here on it is not put back
    kept = await codes.of_claim(conn, claim_id)
    if kept is None:
        return None
    if kept.state not in DELIVERED or kept.sealed is None:
        raise CodeAbsent
    reading_id = parts.new_id(now, bucket_of(claim_id))
    await codes.put_reading(conn, reading_id, kept.member_id, claim_id, actor=actor, at=now)
    return parts.envelope.open(kept.sealed).decode()
