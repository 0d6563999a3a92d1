"""Dry runs: `?dry_run=true` on a write gets the write's own answer, and nothing is written.

A handler that takes the parameter `dry_run` rehearses on it; every answer to such a request, a
problem too, says `Dry-Run: true`.
"""

from typing import Any

from litestar import Request
from litestar.types import Scope
from msgspec import ValidationError, convert

from benefits.store.db import Database

HEADER = "Dry-Run"
PARAMETER = "dry_run"


def database(request: Request[Any, Any, Any], *, dry_run: bool) -> Database:
    """Return the database a handler writes to: in a dry run one on which nothing stays."""
    real: Database = request.app.state.database
    return real.rehearsal() if dry_run else real


def is_rehearsed(scope: Scope) -> bool:
    """Say whether a request asked an operation that can do so for a dry run."""
    handler: Any = scope.get("route_handler")
    if not scope["query_string"] or handler is None:
        return False
    if PARAMETER not in handler.parsed_fn_signature.parameters:
        return False
    given = Request[Any, Any, Any](scope).query_params.getall(PARAMETER, ["false"])
    try:
        return convert(given[-1], bool, strict=False)  # the handler is given the last one too
    except ValidationError:
        return False
