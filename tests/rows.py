"""All that a database holds, in a form that two instants can be compared by."""

from typing import Any

from benefits.store.db import Database, rows
from tests.roles import administrator

# A partition's rows are its table's.
RELATIONS = """
SELECT c.relname AS name, c.relkind IN ('r', 'p') AND NOT c.relispartition AS has_rows
FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname
"""


async def everything(database: Database) -> tuple[list[str], list[Any]]:
    """Return the names of all relations; of each table the count of rows and a hash of them."""
    async with administrator(database) as conn:
        found = await rows(conn, RELATIONS)
        queries = [
            f"SELECT '{table.name}' AS name, count(*) AS rows, "
            f"md5(string_agg(t::text, '|' ORDER BY t::text)) AS hash FROM \"{table.name}\" AS t"
            for table in found
            if table.has_rows
        ]
        told = await rows(conn, " UNION ALL ".join(queries))
    return [one.name for one in found], sorted(tuple(one) for one in told)
