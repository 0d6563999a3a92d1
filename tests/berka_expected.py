"""What a year of real accounts must come to, computed from the bank's own transactions.

Nothing here is the product's, and nothing the converter's: a day's end is found by conservation
instead of by chaining, a month's sum by stretches instead of by days, the tiers by a plain loop.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from benefits.domain.values import Month

MONTHS = [Month(1993, number) for number in range(1, 13)]

# What berka.toml says, written down once more.
TIERS = ("BASE", "SILVER", "GOLD", "PLATINUM")
THRESHOLDS = (0, 20_000_00, 40_000_00, 60_000_00)
MISSES = (0, 2, 2, 3)
MONTHLY_CREDIT = (0, 1, 1, 2)
QUARTERLY_LOUNGE = (0, 0, 1, 3)
COST = {"CREDIT": 200_00, "LOUNGE": 400_00}
CREDITS, LOUNGES = 90, 80  # how many the stock and the budget allow

Sums = dict[str, list[int]]
Standing = tuple[int, int]


class Expected(NamedTuple):
    """A year as computed here: by customer number, one entry a month, from January on."""

    opened: dict[str, date]
    sums: Sums
    standings: list[dict[str, Standing]]
    causes: list[Counter[str]]
    grants: list[dict[tuple[str, str, str], tuple[int, int]]]

    def told(self, number: int) -> str:
        """Return what the product ought to print about a month."""
        before = self.standings[number - 1] if number else {}
        now = self.standings[number]
        decisions = sum(now[customer] != before.get(customer, (0, 0)) for customer in now)
        ranks = Counter(rank for rank, _ in now.values())
        names = ", ".join(f"{tier} {ranks[rank]:,}" for rank, tier in enumerate(TIERS))
        return (
            f"{MONTHS[number]}: {decisions:,} decisions, {len(self.grants[number]):,} grants; "
            f"{names}."
        )


def expect(folder: Path) -> Expected:
    """Compute the year from the bank's own tables."""
    owners = {r["account_id"]: r["client_id"] for r in _rows(folder, "disp", type="OWNER")}
    opened = {
        owners[row["account_id"]]: _day(row["date"])
        for row in _rows(folder, "account")
        if row["date"] < "940101"
    }
    sums = _month_sums(folder, owners)
    standings, causes = list[dict[str, Standing]](), list[Counter[str]]()
    standing = dict[str, Standing]()
    for index, month in enumerate(MONTHS):
        cause = Counter[str]()
        for customer, opened_on in opened.items():
            if opened_on < month.end:
                before = standing.get(customer, (0, 0))
                total = sums[customer][index]
                standing[customer], what = _decide(before, total, month.days)
                cause[what] += 1
        standings.append(dict(standing))
        causes.append(cause)
    return Expected(opened, sums, standings, causes, list(_grants(standings)))


def _month_sums(folder: Path, owners: dict[str, str]) -> Sums:
    """Add up stretches between transactions; a day's end is what no order of its rows changes."""
    moves = dict[str, dict[date, list[tuple[int, int]]]]()
    for row in _rows(folder, "trans"):
        amount, balance = (round(float(row[name]) * 100) for name in ("amount", "balance"))
        change = amount if row["type"] == "PRIJEM" else -amount
        by_day = moves.setdefault(row["account_id"], {})
        by_day.setdefault(_day(row["date"]), []).append((change, balance))
    sums = {owner: [0] * 12 for owner in owners.values()}
    for account, by_day in moves.items():
        ends, balance = list[tuple[date, int]](), 0
        for day, rows in sorted(by_day.items()):
            right = balance + sum(change for change, _ in rows)
            balance = min((after for _, after in rows), key=lambda after: abs(after - right))
            ends.append((day, balance))
        stops = [day for day, _ in ends[1:]] + [date(1994, 1, 1)]
        for (day, end), stop in zip(ends, stops, strict=True):
            for index, month in enumerate(MONTHS):
                days = (min(stop, month.end) - max(day, month.start)).days
                sums[owners[account]][index] += max(days, 0) * max(end, 0)
    return sums


def _decide(before: Standing, total: int, days: int) -> tuple[Standing, str]:
    rank, misses = before
    reached = sum(total >= threshold * days for threshold in THRESHOLDS) - 1
    if reached > rank:
        return (reached, 0), "upgraded"
    if reached == rank:
        return (rank, 0), "retained"
    if misses + 1 < MISSES[rank]:
        return (rank, misses + 1), "watched"
    return (reached, 0), "downgraded"


def _grants(
    standings: list[dict[str, Standing]],
) -> Iterator[dict[tuple[str, str, str], tuple[int, int]]]:
    """Yield for each month what is granted: (customer, line, period) -> (quota, quantity)."""
    given = Counter[tuple[str, str, str]]()
    for index, standing in enumerate(standings):
        following = MONTHS[index].plus(1)
        quarter = f"{following.year}-Q{(following.number + 2) // 3}"
        grants = dict[tuple[str, str, str], tuple[int, int]]()
        for customer, (rank, _) in standing.items():
            for line, period, quotas in (
                ("credit", str(following), MONTHLY_CREDIT),
                ("lounge", quarter, QUARTERLY_LOUNGE),
            ):
                key = (customer, line, period)
                if (more := quotas[rank] - given[key]) > 0:
                    grants[key] = (quotas[rank], more)
                    given[key] += more
        yield grants


def _rows(folder: Path, table: str, **only: str) -> Iterator[dict[str, str]]:
    with (folder / f"{table}.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter=";"):
            if only.items() <= row.items():
                yield row


def _day(text: str) -> date:
    return datetime.strptime(f"19{text}", "%Y%m%d").replace(tzinfo=UTC).date()
