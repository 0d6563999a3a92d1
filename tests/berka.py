"""Real bank accounts of 1993, made into the files that `benefits import` takes.

The data set is the "financial" one of the PKDD'99 Discovery Challenge (also called Berka): a
Czech bank's accounts, in korunas. It is not part of this repository; `BENEFITS_BERKA_DIR` names a
folder with its `account.csv`, `disp.csv` and `trans.csv` (fields separated by `;`).

How it is converted:

- a member is the OWNER of an account; a second person on it (DISPONENT) is none, so that nothing
  counts twice. A member opened on the day the first of their accounts did;
- the rows of one day are in no order. They are chained so that each balance follows from the one
  before it, starting from 0 at the opening, and the last of the chain is the day-end balance.
  Amounts are rounded to 0.1, so a balance may be off by as much;
- a day without rows keeps the balance of the day before. Every day from the opening through the
  last one of 1993 gets a line; days before the opening get none, because they are zeros already;
- a negative balance is written as it is: that it counts as zero is the product's affair.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

LAST_DAY = date(1993, 12, 31)
ROUNDING = 10
DIGITS = 2


class Row(NamedTuple):
    """A transaction: how much came in (or, negative, went out), and the balance after it."""

    change: int
    balance: int


class Account(NamedTuple):
    """An account with its owner, and its rows by day; amounts in minor units."""

    number: str
    owner: str
    opened_on: date
    days: dict[date, list[Row]]


class ChainError(Exception):
    """No order of a day's rows makes each balance follow from the one before."""


def read(folder: Path) -> list[Account]:
    """Return the accounts that were opened by the last day, in the order of their numbers."""
    owners = {
        row["account_id"]: row["client_id"]
        for row in _table(folder / "disp.csv")
        if row["type"] == "OWNER"
    }
    accounts = {
        row["account_id"]: Account(row["account_id"], owners[row["account_id"]], opened_on, {})
        for row in _table(folder / "account.csv")
        if (opened_on := _date(row["date"])) <= LAST_DAY
    }
    for row in _table(folder / "trans.csv"):
        sign = 1 if row["type"] == "PRIJEM" else -1
        entry = Row(sign * _minor(row["amount"]), _minor(row["balance"]))
        accounts[row["account_id"]].days.setdefault(_date(row["date"]), []).append(entry)
    return sorted(accounts.values(), key=lambda account: int(account.number))


def chain(start: int, rows: Sequence[Row]) -> int | None:
    """Return the balance after all rows of a day that began with `start`; None: no order fits."""
    if not rows:
        return start
    for index, row in enumerate(rows):
        if abs(start + row.change - row.balance) <= ROUNDING:
            rest = [*rows[:index], *rows[index + 1 :]]
            if (end := chain(row.balance, rest)) is not None:
                return end
    return None


def day_ends(account: Account) -> Iterator[tuple[date, int]]:
    """Yield the balance at the end of each day from the opening on (ChainError)."""
    balance = 0
    for number in range((LAST_DAY - account.opened_on).days + 1):
        day = account.opened_on + timedelta(days=number)
        end = chain(balance, account.days.get(day, ()))
        if end is None:
            message = f"account {account.number} on {day}"
            raise ChainError(message)
        balance = end
        yield day, balance


def write_members(accounts: Sequence[Account], path: Path) -> int:
    """Write the file for `benefits import members`; return how many lines it has."""
    opened = dict[str, date]()
    for account in accounts:
        before = opened.get(account.owner, account.opened_on)
        opened[account.owner] = min(before, account.opened_on)
    lines = [(owner, opened_on.isoformat()) for owner, opened_on in opened.items()]
    return _write(path, ("customer", "opened_on"), lines)


def write_assets(accounts: Sequence[Account], path: Path) -> int:
    """Write the file for `benefits import assets`; return how many lines it has."""
    header = ("customer", "as_of", "asset_class", "currency", "balance", "account")
    lines = [
        (account.owner, day.isoformat(), "DEPOSIT", "CZK", _major(balance), account.number)
        for account in accounts
        for day, balance in day_ends(account)
    ]
    return _write(path, header, lines)


def _table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=";")


def _write(path: Path, header: Sequence[str], lines: Sequence[Sequence[str]]) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return len(lines)


def _date(text: str) -> date:
    return date(1900 + int(text[:2]), int(text[2:4]), int(text[4:6]))


def _minor(text: str) -> int:
    return int(Decimal(text).scaleb(DIGITS))


def _major(minor: int) -> str:
    return str(Decimal(minor).scaleb(-DIGITS))
