"""Whether the process lives, and whether it can do its work."""

import asyncio
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec

from benefits.store import readiness

ANSWER_WITHIN_S = 3.0


class HealthView(msgspec.Struct):
    """`ok`, or what is wrong."""

    status: str


class ReadyView(msgspec.Struct):
    """`ok`, or the first thing that is wrong; and each check's own verdict."""

    status: str
    checks: dict[str, str]


@get("/health", tags=["operations"], operation_id="health")
async def health() -> HealthView:
    """Say that the process lives."""
    return HealthView("ok")


@get(
    "/ready",
    tags=["operations"],
    operation_id="ready",
    responses={
        503: ResponseSpec(
            ReadyView, description="Requests should not come here now", generate_examples=False
        )
    },
)
async def ready(request: Request[Any, Any, Any]) -> Response[ReadyView]:
    """Say whether requests should come here, and what speaks against it.

    A service that only reads because the books are wrong says so with 200: any other process would
    find the same, and members could not even look.
    """
    view = await _ready(request.app.state)
    is_fit = all(words == "ok" for check, words in view.checks.items() if check != "books")
    return Response(view, status_code=200 if is_fit else 503)


async def _ready(state: Any) -> ReadyView:
    checks = {"draining": "told to stop; serving what still comes" if state.draining else "ok"}
    groups = (
        *(state.claims, state.choosings, state.redemptions, state.cancellations),
        *(state.rewards, state.callbacks),
    )
    full = not all(group.accepts for group in groups)
    checks["groups"] = "too many commands wait" if full else "ok"
    if not state.draining:
        checks |= await _database(state)
    wrong = f"only reading, since the books are wrong: {state.wrong}"
    checks["books"] = wrong if state.wrong else "ok"  # last: the status is that of the first
    return ReadyView(next((words for words in checks.values() if words != "ok"), "ok"), checks)


async def _database(state: Any) -> dict[str, str]:
    """Look at the database within a bound."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S), state.database.transaction() as conn:
            found = await readiness.look(conn)
            catalogue = await state.parts.catalogue.current(conn)
    except Exception:  # noqa: BLE001 - whatever is wrong, the answer is the same
        return {"database": "the database does not answer"}
    programme = "ok" if catalogue.programmes else "no programme is in force"
    return {"database": "ok", **found.verdicts(), "programme": programme}


HANDLERS = [health, ready]
