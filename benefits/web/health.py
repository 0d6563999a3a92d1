"""Whether the process lives, and whether it can do its work."""

from typing import Any

import msgspec
from litestar import Request, Response, get


class HealthView(msgspec.Struct):
    """`ok`, or what is wrong."""

    status: str


@get("/health", tags=["operations"], operation_id="health")
async def health() -> HealthView:
    """Say that the process lives."""
    return HealthView("ok")


@get("/ready", tags=["operations"], operation_id="ready")
async def ready(request: Request[Any, Any, Any]) -> Response[HealthView]:
    """Say whether the database answers and a programme is in force."""
    state = request.app.state
    try:
        async with state.database.transaction() as conn:
            catalogue = await state.parts.catalogue.current(conn)
    except Exception:  # noqa: BLE001 - whatever is wrong, the answer is the same
        return Response(HealthView("the database does not answer"), status_code=503)
    if not catalogue.programmes:
        return Response(HealthView("no programme is in force"), status_code=503)
    return Response(HealthView("ok"))


HANDLERS = [health, ready]
