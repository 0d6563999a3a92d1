"""The provider's own book: orders and callbacks it owes, in SQLite, so that a restart keeps both.

What an order looks like at an instant follows from when it was decided, used or revoked; nothing
has to run for a pending order to become issued:

    pending --decided_at--> issued --use--> redeemed      revoke: pending or issued -> revoked
                       `--> rejected (when it has a reason)
"""

import enum
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Behaviour(enum.Enum):
    """How the sandbox treats an order; MIXED picks one of the others by the number."""

    GOOD = "good"
    SLOW = "slow"
    TIMES_OUT = "times_out"
    CALLS_BACK_TWICE = "calls_back_twice"
    NEVER_CALLS_BACK = "never_calls_back"
    MIXED = "mixed"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked under a number and what became of it; instants in unix seconds."""

    number: str
    sku: str
    quantity: int
    recipient: dict[str, str]
    behaviour: Behaviour
    reference: str
    code: str
    reason: str
    asked_at: float
    decided_at: float
    used_at: float | None = None
    revoked_at: float | None = None

    def status(self, now: float) -> str:
        """Return the order's status in the words of the contract."""
        if self.revoked_at is not None:
            return "revoked"
        if self.used_at is not None:
            return "redeemed"
        if now < self.decided_at:
            return "pending"
        return "rejected" if self.reason else "issued"

    def said(self, now: float) -> dict[str, str]:
        """Return what the provider tells about the order, as the contract's JSON."""
        status = self.status(now)
        told = {"number": self.number, "status": status, "reference": self.reference}
        match status:
            case "pending":
                return told
            case "rejected":
                return told | {"at": iso(self.decided_at), "reason": self.reason}
            case "issued":
                return told | {"at": iso(self.decided_at), "code": self.code}
            case _:
                return told | {"at": iso(self.used_at or self.revoked_at or now)}


class OwedCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to deliver: `left` times more, after `attempts` failures."""

    id: str
    number: str
    body: bytes
    left: int
    attempts: int


def iso(at: float) -> str:
    """Write unix seconds as RFC 3339 in UTC, whole milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def chosen(number: str, behaviour: Behaviour) -> Behaviour:
    """Return the behaviour for a number: the one set, or under MIXED one of five by its hash."""
    if behaviour is not Behaviour.MIXED:
        return behaviour
    five = [each for each in Behaviour if each is not Behaviour.MIXED]
    return five[digest(number)[0] % len(five)]


def digest(number: str) -> bytes:
    """Return the bytes by which everything arbitrary about an order is chosen."""
    return hashlib.blake2b(number.encode(), digest_size=16).digest()


_SCHEMA = """
CREATE TABLE IF NOT EXISTS provider_order (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    number TEXT NOT NULL UNIQUE,
    sku TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    behaviour TEXT NOT NULL,
    reference TEXT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked_at REAL NOT NULL,
    decided_at REAL NOT NULL,
    used_at REAL,
    revoked_at REAL
) STRICT;
CREATE TABLE IF NOT EXISTS callback (
    id TEXT PRIMARY KEY,
    number TEXT NOT NULL,
    body BLOB NOT NULL,
    due_at REAL NOT NULL,
    left INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS callback_due ON callback (due_at) WHERE left > 0;
"""

_COLUMNS = (
    "number, sku, quantity, recipient, behaviour, reference, code, reason,"
    " asked_at, decided_at, used_at, revoked_at"
)


class Book:
    """Keep orders and owed callbacks in the SQLite file `path`, or in memory for `:memory:`."""

    def __init__(self, path: str) -> None:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, number: str) -> Order | None:
        """Return the order under a number, if any."""
        sql = f"SELECT {_COLUMNS} FROM provider_order WHERE number = ?"
        row = self._db.execute(sql, (number,)).fetchone()
        return None if row is None else _order(row)

    def add(self, order: Order) -> None:
        """Keep a new order, and owe the callback about its decision if it behaves so."""
        with self._writing():
            self._db.execute(
                f"INSERT INTO provider_order ({_COLUMNS}) VALUES ({', '.join('?' * 12)})",
                (
                    order.number,
                    order.sku,
                    order.quantity,
                    json.dumps(order.recipient, sort_keys=True),
                    order.behaviour.value,
                    order.reference,
                    order.code,
                    order.reason,
                    order.asked_at,
                    order.decided_at,
                    order.used_at,
                    order.revoked_at,
                ),
            )
            silent = {Behaviour.TIMES_OUT, Behaviour.NEVER_CALLS_BACK}
            if order.decided_at > order.asked_at and order.behaviour not in silent:
                self._owe(order, order.decided_at)

    def use(self, order: Order, now: float) -> Order:
        """Mark an issued order used, and owe the callback about it."""
        used = msgspec.structs.replace(order, used_at=now)
        with self._writing():
            sql = "UPDATE provider_order SET used_at = ? WHERE number = ?"
            self._db.execute(sql, (now, order.number))
            self._owe(used, now)
        return used

    def revoke(self, order: Order, now: float) -> Order:
        """Take an order back; what was still to be called back about it is void."""
        with self._writing():
            sql = "UPDATE provider_order SET revoked_at = ? WHERE number = ?"
            self._db.execute(sql, (now, order.number))
            self._db.execute("DELETE FROM callback WHERE number = ? AND left > 0", (order.number,))
        return msgspec.structs.replace(order, revoked_at=now)

    def page(self, limit: int, before: int | None) -> tuple[Sequence[Order], int | None]:
        """Return orders, newest first, and the place to go on from, or None at the end."""
        sql = (
            f"SELECT place, {_COLUMNS} FROM provider_order"
            " WHERE place < ? ORDER BY place DESC LIMIT ?"
        )
        start = before if before is not None else 2**62
        rows = self._db.execute(sql, (start, limit + 1)).fetchall()
        more = rows[limit - 1]["place"] if len(rows) > limit else None
        return [_order(row) for row in rows[:limit]], more

    def due(self, now: float, limit: int) -> Sequence[OwedCallback]:
        """Return the callbacks to deliver now, the longest due first."""
        sql = (
            "SELECT id, number, body, left, attempts FROM callback"
            " WHERE left > 0 AND due_at <= ? ORDER BY due_at LIMIT ?"
        )
        return [OwedCallback(**dict(row)) for row in self._db.execute(sql, (now, limit))]

    def next_due(self) -> float | None:
        """Return when the next callback is due."""
        row = self._db.execute("SELECT min(due_at) AS at FROM callback WHERE left > 0").fetchone()
        at: float | None = row["at"]
        return at

    def delivered(self, callback: OwedCallback) -> None:
        """Note that a callback was acknowledged once."""
        self._db.execute("UPDATE callback SET left = left - 1 WHERE id = ?", (callback.id,))

    def postponed(self, callback: OwedCallback, due_at: float) -> None:
        """Note that a callback was not acknowledged, and when to try again."""
        sql = "UPDATE callback SET attempts = attempts + 1, due_at = ? WHERE id = ?"
        self._db.execute(sql, (due_at, callback.id))

    def _owe(self, order: Order, at: float) -> None:
        told = order.said(at)
        status = told.pop("status")
        content = {"type": f"order.{status}", "timestamp": iso(at), "data": told}
        # The id is derived, so that owing the same event again cannot make a second one.
        self._db.execute(
            "INSERT OR IGNORE INTO callback (id, number, body, due_at, left)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                f"evt_{order.number}_{status}",
                order.number,
                json.dumps(content).encode(),
                at,
                2 if order.behaviour is Behaviour.CALLS_BACK_TWICE else 1,
            ),
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _order(row: sqlite3.Row) -> Order:
    return Order(
        number=row["number"],
        sku=row["sku"],
        quantity=row["quantity"],
        recipient=json.loads(row["recipient"]),
        behaviour=Behaviour(row["behaviour"]),
        reference=row["reference"],
        code=row["code"],
        reason=row["reason"],
        asked_at=row["asked_at"],
        decided_at=row["decided_at"],
        used_at=row["used_at"],
        revoked_at=row["revoked_at"],
    )
