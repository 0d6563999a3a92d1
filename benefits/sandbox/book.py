"""The provider's own book: orders and callbacks it owes, in SQLite, so that a restart keeps both.

What an order looks like at an instant follows from when it was decided, used or revoked; nothing
has to run for a pending order to become issued:

    pending --decided_at--> issued --use--> redeemed        revoke: what is unused -> revoked
                       |         ^-- reverse --'            expire: what is unused -> expired
                       |         `--use, some--> partly_redeemed --use, the rest--> redeemed
                       |--> rejected (when it has a reason)
                       `--> partly_issued (when some units are missing) --complete--> issued
                                 `--use, some--> partly_redeemed --complete--> of all the units
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benefits.sandbox.behaviour import Behaviour, Plan, digest

WRONGLY = "stock_out"  # why an order is refused that was not


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked under a number and what became of it; instants in unix seconds.

    Of what was used `used_part` pieces were, and 0 means all that were ordered.
    """

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
    completed_at: float | None = None
    used_at: float | None = None
    revoked_at: float | None = None
    confirmed_at: float | None = None
    reversed_at: float | None = None
    expired_at: float | None = None
    used_part: int = 0

    @property
    def delivered(self) -> int:
        """How many units were delivered, once the order is decided."""
        if not self.is_parted or self.completed_at is not None:
            return self.quantity
        return 1 + digest(self.number)[14] % (self.quantity - 1)

    @property
    def is_parted(self) -> bool:
        """Whether it is delivered in part first."""
        return self.behaviour is Behaviour.DELIVERS_PARTLY and self.quantity > 1

    @property
    def unused(self) -> int:
        """How many pieces can be used, of an order that can."""
        return self.delivered - self.used_part

    def status(self, now: float) -> str:
        """Return the order's status in the words of the contract."""
        if self.revoked_at is not None:
            return "revoked"
        is_used = self.used_at is not None and now >= self.used_at
        if is_used and not self.used_part:
            return "redeemed"
        if self.expired_at is not None:
            return "expired"
        if is_used:
            return "partly_redeemed"
        if now < self.decided_at:
            return "pending"
        if self.reason:
            return "rejected"
        if self.delivered < self.quantity:
            return "partly_issued"
        return "issued" if self.confirmed_at is None else "confirmed"

    def said(self, now: float, status: str = "") -> dict[str, str | int]:
        """Return what the provider tells about the order, or about what became of it last."""
        status = status or self.status(now)
        told: dict[str, str | int] = {
            "number": self.number,
            "status": status,
            "reference": self.reference,
        }
        at = iso(self.completed_at or self.decided_at)
        match status:
            case "pending":
                return told
            case "rejected":
                return told | {"at": at, "reason": self.reason or WRONGLY}
            case "issued":
                return told | {"at": at, "code": self.code}
            case "partly_issued":
                return told | {"at": at, "delivered": self.delivered}
            case "confirmed":
                return told | {"at": iso(self.confirmed_at or now)}
            case "reversed":
                return told | {"at": iso(self.reversed_at or now)}
            case "revoked":
                return told | {"at": iso(self.revoked_at or now)}
            case _ if self.used_part:
                at = iso(self.expired_at or self.used_at or now)
                told |= {"used": self.used_part}
            case _:
                at = iso(self.used_at or self.expired_at or now)
        told |= {"delivered": self.delivered} if self.is_parted else {}
        return told | {"at": at}


class OwedCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to deliver: `left` times more, after `attempts` failures."""

    id: str
    number: str
    body: bytes
    left: int
    attempts: int
    forged: int


def iso(at: float) -> str:
    """Write unix seconds as RFC 3339 in UTC, whole milliseconds."""
    return instant(at).isoformat(timespec="milliseconds")


def instant(at: float) -> datetime:
    """Return unix seconds as an instant."""
    return datetime.fromtimestamp(at, UTC)


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
    completed_at REAL,
    used_at REAL,
    revoked_at REAL,
    confirmed_at REAL,
    reversed_at REAL,
    expired_at REAL,
    used_part INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS redemption (
    id TEXT PRIMARY KEY,
    number TEXT NOT NULL,
    undone_by TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS callback (
    id TEXT PRIMARY KEY,
    number TEXT NOT NULL,
    body BLOB NOT NULL,
    due_at REAL NOT NULL,
    left INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    forged INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS callback_due ON callback (due_at) WHERE left > 0;
CREATE TABLE IF NOT EXISTS turned_away (number TEXT PRIMARY KEY, until REAL NOT NULL) STRICT;
"""
# What a book that was begun by an earlier version lacks.
_ADDED = {
    "provider_order": dict.fromkeys(
        ("completed_at", "confirmed_at", "reversed_at", "expired_at"), "REAL"
    )
    | {"used_part": "INTEGER NOT NULL DEFAULT 0"},
    "callback": {"forged": "INTEGER NOT NULL DEFAULT 0"},
}

_COLUMNS = (
    "number, sku, quantity, recipient, behaviour, reference, code, reason,"
    " asked_at, decided_at, completed_at, used_at, revoked_at, confirmed_at, reversed_at,"
    " expired_at, used_part"
)


Teller = Callable[[Order, Plan], tuple[str, bytes]]


def tell(order: Order, plan: Plan) -> tuple[str, bytes]:
    """Return a callback's id and body in the words of the contract `open`."""
    told = {"at": iso(plan.at)} | order.said(plan.at, plan.says)
    status = told.pop("status")
    # Of a use there can be several.
    used = f"_{round(order.used_at * 1000)}" if order.used_at is not None else ""
    event = str(status) + (used if order.reversed_at is not None else "")
    event += f"_{order.used_part}" if order.used_part else ""
    event += f"_of_{order.delivered}" if order.is_parted else ""
    content = {"type": f"order.{status}", "timestamp": iso(plan.at), "data": told}
    return f"evt_{order.number}_{event}", json.dumps(content).encode()


class Book:
    """Keep orders and owed callbacks in the SQLite file `path`, or in memory for `:memory:`.

    What a callback says is written by `tell`; its id is derived, so that owing the same event
    again cannot make a second one.
    """

    def __init__(self, path: str, tell: Teller = tell) -> None:
        self._tell = tell
        if path != ":memory:":
            _own(Path(path))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        for table, columns in _ADDED.items():
            known = {row["name"] for row in self._db.execute(f"PRAGMA table_info({table})")}
            for name in columns.keys() - known:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, number: str) -> Order | None:
        """Return the order under a number, if any."""
        sql = f"SELECT {_COLUMNS} FROM provider_order WHERE number = ?"
        row = self._db.execute(sql, (number,)).fetchone()
        return None if row is None else _order(row)

    def add(self, order: Order, plans: Sequence[Plan]) -> None:
        """Keep a new order, and owe the callbacks about its decision."""
        with self._writing():
            self._db.execute(
                f"INSERT INTO provider_order ({_COLUMNS}) VALUES ({', '.join('?' * 17)})",
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
                    order.completed_at,
                    order.used_at,
                    order.revoked_at,
                    order.confirmed_at,
                    order.reversed_at,
                    order.expired_at,
                    order.used_part,
                ),
            )
            self._owe(order, plans)

    def use(self, order: Order, pieces: int, now: float, plans: Sequence[Plan]) -> Order:
        """Mark so many pieces of an order used that are not, and owe the callbacks about it."""
        part = (order.used_part + pieces) % order.quantity
        used = msgspec.structs.replace(order, used_at=now, used_part=part)
        with self._writing():
            sql = "UPDATE provider_order SET used_at = ?, used_part = ? WHERE number = ?"
            self._db.execute(sql, (now, part, order.number))
            self._owe(used, plans)
        return used

    def redemption(self, id_: str) -> tuple[str, str | None] | None:
        """Return of which order a redemption is, and what undid it."""
        sql = "SELECT number, undone_by FROM redemption WHERE id = ?"
        row = self._db.execute(sql, (id_,)).fetchone()
        return None if row is None else (row["number"], row["undone_by"])

    def redeem(self, order: Order, id_: str, now: float) -> Order:
        """Mark an order used by the redemption `id_`; nobody is called back about it."""
        with self._writing():
            self._db.execute(
                "INSERT INTO redemption (id, number) VALUES (?, ?)", (id_, order.number)
            )
            self._set(order, "used_at", now)
        return msgspec.structs.replace(order, used_at=now)

    def reverse(self, order: Order, redemption: str, id_: str, now: float) -> Order:
        """Undo a redemption by the reversal `id_`."""
        with self._writing():
            sql = "UPDATE redemption SET undone_by = ? WHERE id = ?"
            self._db.execute(sql, (id_, redemption))
            self._set(order, "used_at", None)
            self._set(order, "reversed_at", now)
        return msgspec.structs.replace(order, used_at=None, reversed_at=now)

    def confirm(self, order: Order, now: float) -> Order:
        """Mark an order confirmed."""
        with self._writing():
            self._set(order, "confirmed_at", now)
        return msgspec.structs.replace(order, confirmed_at=now)

    def expire(self, order: Order, now: float, plans: Sequence[Plan]) -> Order:
        """Let what is unused of an order end, and owe the callbacks about it."""
        expired = msgspec.structs.replace(order, expired_at=now)
        with self._writing():
            self._set(order, "expired_at", now)
            self._owe(expired, plans)
        return expired

    def _set(self, order: Order, column: str, at: float | None) -> None:
        sql = f"UPDATE provider_order SET {column} = ? WHERE number = ?"
        self._db.execute(sql, (at, order.number))

    def complete(self, order: Order, now: float, plans: Sequence[Plan]) -> Order:
        """Mark the missing units of an order delivered, and owe the callbacks about it."""
        completed = msgspec.structs.replace(order, completed_at=now)
        with self._writing():
            sql = "UPDATE provider_order SET completed_at = ? WHERE number = ?"
            self._db.execute(sql, (now, order.number))
            self._owe(completed, plans)
        return completed

    def turned_away(self, number: str, now: float, wait_s: float) -> float:
        """Return how long a number must still wait; the first time so long as given."""
        self._db.execute(
            "INSERT OR IGNORE INTO turned_away (number, until) VALUES (?, ?)",
            (number, now + wait_s),
        )
        sql = "SELECT until FROM turned_away WHERE number = ?"
        until: float = self._db.execute(sql, (number,)).fetchone()["until"]
        return max(until - now, 0.0)

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
            "SELECT id, number, body, left, attempts, forged FROM callback"
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

    def given_up(self, callback: OwedCallback) -> None:
        """Note that a callback will not be tried again."""
        self._db.execute("UPDATE callback SET left = 0 WHERE id = ?", (callback.id,))

    def _owe(self, order: Order, plans: Sequence[Plan]) -> None:
        for plan in plans:
            id_, body = self._tell(order, plan)
            self._db.execute(
                "INSERT OR IGNORE INTO callback (id, number, body, due_at, left, forged)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    id_,
                    order.number,
                    body,
                    plan.due_at,
                    plan.times,
                    plan.forged,
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


def _own(path: Path) -> None:
    """Make the file, if need be, so that nobody else reads it: codes and recipients lie in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.fchmod(file, 0o600)
    finally:
        os.close(file)


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
        completed_at=row["completed_at"],
        used_at=row["used_at"],
        revoked_at=row["revoked_at"],
        confirmed_at=row["confirmed_at"],
        reversed_at=row["reversed_at"],
        expired_at=row["expired_at"],
        used_part=row["used_part"],
    )
