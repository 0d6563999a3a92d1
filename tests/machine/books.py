"""What must be true of all postings of a database, asked in SQL of the rows alone (I1 to I4)."""

from typing import Any

from tests.builders import World

SOURCES = "('issued', 'received')"
GONE = "('redeemed', 'expired', 'revoked', 'transferred', 'converted', 'loss')"
# Each statement finds what may not be.
LAWS = {
    "I1": "SELECT batch_id, line FROM posting "
    "WHERE amount <= 0 OR debit = credit OR unit !~ '^(BENEFIT|MONEY):.'",
    "I1: one unit on both sides of a lot": "SELECT p.batch_id FROM posting AS p "
    "JOIN lot AS l ON l.bucket = p.bucket AND l.lot_id = p.lot_id WHERE l.unit <> p.unit",
    "I2": "SELECT unit FROM (SELECT unit, -amount AS n FROM posting "
    "UNION ALL SELECT unit, amount FROM posting) AS e GROUP BY unit HAVING sum(n) <> 0",
    # What members have, what was spent and what ended is what was issued, and nothing beside it.
    "I2: every unit issued is somewhere": f"""
        SELECT unit FROM (
            SELECT unit, CASE WHEN debit IN {SOURCES} THEN amount ELSE 0 END
                       - CASE WHEN credit IN {SOURCES} THEN amount ELSE 0 END AS n
            FROM posting WHERE unit LIKE 'BENEFIT:%'
            UNION ALL SELECT unit, -available - held + owed FROM wallet
            UNION ALL SELECT unit, CASE WHEN debit IN {GONE} THEN amount ELSE 0 END
                                 - CASE WHEN credit IN {GONE} THEN amount ELSE 0 END
            FROM posting WHERE unit LIKE 'BENEFIT:%') AS e
        GROUP BY unit HAVING sum(n) <> 0
        """,
    "I3": """
        SELECT w.member_id, w.unit FROM wallet AS w LEFT JOIN (
            SELECT b.member_id, p.unit,
                   sum(CASE 'available' WHEN p.credit THEN p.amount
                       WHEN p.debit THEN -p.amount ELSE 0 END) AS available,
                   sum(CASE 'held' WHEN p.credit THEN p.amount
                       WHEN p.debit THEN -p.amount ELSE 0 END) AS held
            FROM posting AS p JOIN batch AS b ON b.bucket = p.bucket AND b.batch_id = p.batch_id
            GROUP BY 1, 2) AS f ON f.member_id = w.member_id AND f.unit = w.unit
        WHERE w.available <> coalesce(f.available, 0) OR w.held <> coalesce(f.held, 0)
        """,
    "I4": "SELECT lot_id FROM lot WHERE held < 0 OR remaining < held",
    "I6": "SELECT h.hold_id FROM hold AS h JOIN hold_end AS e USING (bucket, hold_id) "
    "WHERE e.captured + e.released > h.quantity",
    "I8": """
        SELECT l.unit FROM lot AS l JOIN wallet AS w
          ON w.bucket = l.bucket AND w.member_id = l.member_id AND w.unit = l.unit
        GROUP BY l.member_id, l.unit, w.available, w.held
        HAVING sum(l.remaining) <> w.available + w.held
        """,
    "I12": "SELECT b.batch_id FROM batch AS b LEFT JOIN outbox AS e "
    "ON e.bucket = b.bucket AND e.batch_id = b.batch_id GROUP BY 1 HAVING count(e.event_id) <> 1",
}


async def broken(world: World) -> list[tuple[str, Any]]:
    """Return what breaks a law, with the law's name; nothing in any healthy database."""
    found = list[tuple[str, Any]]()
    for law, statement in LAWS.items():
        found += [(law, tuple(row)) for row in await world.rows(statement.strip())]
    return found
