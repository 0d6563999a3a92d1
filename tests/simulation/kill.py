"""Our own process ends at a chosen statement: before the database has it, or after."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import asyncpg
import pytest


class KilledError(BaseException):
    """What follows is not run: the process is gone."""


class Cut(NamedTuple):
    """At which statement of a step the process ends, and whether it was done by then."""

    statement: int
    is_done: bool


@contextmanager
def killed(cut: Cut | None) -> Iterator[None]:
    """End at a statement, commits and begins among them; what rolls back is the server's."""
    if cut is None:
        yield
        return
    count = [0]

    def counted(real: Any) -> Any:
        async def ask(self: Any, sql: str, *values: Any, **more: Any) -> Any:
            if sql == "ROLLBACK":
                return await real(self, sql, *values, **more)
            count[0] += 1
            if count[0] == cut.statement and not cut.is_done:
                raise KilledError
            told = await real(self, sql, *values, **more)
            if count[0] == cut.statement:
                raise KilledError
            return told

        return ask

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "execute"):
            patch.setattr(asyncpg.Connection, name, counted(getattr(asyncpg.Connection, name)))
        yield
