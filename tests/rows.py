"""All that a database holds, in a form that two instants can be compared by."""

from typing import Any

from benefits.store.db import Database, rows
from tests.roles import administrator

# Tables and partitions that were never written to are not read: there are hundreds.
RELATIONS = """
SELECT c.relname AS name, c.relkind = 'r' AND pg_relation_size(c.oid) > 0 AS may_have_rows
FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname
"""


async def everything(database: Database) -> tuple[list[str], list[Any]]:
    """Return the names of all relations; of each with rows the count of them and a hash."""
    async with administrator(database) as conn:
        found = await rows(conn, RELATIONS)
        queries = [
            f"SELECT '{table.name}' AS name, count(*) AS rows, "
            f"md5(string_agg(t::text, '|' ORDER BY t::text)) AS hash FROM \"{table.name}\" AS t "
            "HAVING count(*) > 0"
            for table in found
            if table.may_have_rows
        ]
        told = await rows(conn, " UNION ALL ".join(queries))
    return [one.name for one in found], sorted(tuple(one) for one in told)
