"""Before work begins: fold the members of the last batches, and say what is wrong with them."""

import time

import structlog

from benefits import measures
from benefits.domain.refusal import Refusal
from benefits.domain.values import OnFinding
from benefits.store import recent
from benefits.store.db import Database
from benefits.store.verify import Finding

log = structlog.get_logger()


class BooksDiffer(Refusal):
    """The books of those who did something last are wrong, and the setting says not to start."""

    code = "books_differ"
    words = "The books are wrong. Run `benefits verify`."


async def look_back(database: Database, on_finding: OnFinding) -> list[Finding]:
    """Return what is wrong with the last members' books, and tell it (BooksDiffer).

    Nothing is the rule. What is told holds no member: `benefits verify` names them.
    """
    begun = time.perf_counter()
    found = [finding async for finding in recent.findings(database)]
    took = round((time.perf_counter() - begun) * 1000, 2)
    measures.BOOKS_FINDINGS.set(len(found))
    if not found:
        log.info("books.looked_back", duration_ms=took)
        return found
    log.error("books.differ", findings=len(found), kinds=kinds(found), duration_ms=took)
    if on_finding == "refuse":
        raise BooksDiffer(f"The books are wrong ({kinds(found)}). Run `benefits verify`.")
    return found


def kinds(found: list[Finding]) -> str:
    """Return how many findings there are of each kind, in words."""
    counts = {f.kind: sum(f.kind == other.kind for other in found) for f in found}
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
