"""The coupons of WeChat's sandbox: the book of orders, and what was done to each under a number.

given --confirm, of two phases--> to be used --use--> USED --return--> to be used
unused: --deactivate--> DEACTIVATED, --valid_s--> EXPIRED
"""

import msgspec

from benefits.sandbox.book import Book, Order, Teller

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deed (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    number TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    coupon TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS coupon_code ON provider_order (sku, code);
"""


_KEPT = {"confirm": "confirmed_at", "deactivate": "revoked_at"}


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a coupon, once under its number: confirm, use, return or deactivate."""

    number: str
    kind: str
    coupon: str
    at: float


class CouponBook(Book):
    """Keep coupons, what was done to them, and owed callbacks, in SQLite."""

    def __init__(self, path: str, tell: Teller) -> None:
        super().__init__(path, tell)
        self._db.executescript(_SCHEMA)

    def coupon(self, stock: str | None, code: str) -> Order | None:
        """Return the coupon with a code, of a stock where one is named."""
        sql = "SELECT number FROM provider_order WHERE code = ? AND (? IS NULL OR sku = ?)"
        row = self._db.execute(sql, (code, stock, stock)).fetchone()
        return None if row is None else self.find(row["number"])

    def deed(self, number: str) -> Deed | None:
        """Return what was done under a number, if anything."""
        sql = "SELECT number, kind, coupon, at FROM deed WHERE number = ?"
        row = self._db.execute(sql, (number,)).fetchone()
        return None if row is None else Deed(**dict(row))

    def last(self, coupon: str, kind: str) -> Deed | None:
        """Return the last deed of a kind to a coupon."""
        sql = (
            "SELECT number, kind, coupon, at FROM deed WHERE coupon = ? AND kind = ?"
            " ORDER BY place DESC LIMIT 1"
        )
        row = self._db.execute(sql, (coupon, kind)).fetchone()
        return None if row is None else Deed(**dict(row))

    def do(self, deed: Deed) -> None:
        """Keep a deed, and what it makes of the coupon."""
        column = _KEPT.get(deed.kind, "used_at")
        at = None if deed.kind == "return" else deed.at
        with self._writing():
            self._db.execute(
                "INSERT INTO deed (number, kind, coupon, at) VALUES (?, ?, ?, ?)",
                (deed.number, deed.kind, deed.coupon, deed.at),
            )
            sql = f"UPDATE provider_order SET {column} = ? WHERE number = ?"
            self._db.execute(sql, (at, deed.coupon))
