"""Alembic's environment: runs on the connection it is given, alone, and never waits long."""

from alembic import context
from sqlalchemy import text

from benefits.store.schema import metadata

SETTINGS = (
    "SELECT pg_advisory_xact_lock(hashtext('benefits.migrate'))",
    "SET LOCAL lock_timeout = '5s'",
    "SET LOCAL statement_timeout = '15min'",
)


def online() -> None:
    """Run the revisions in the caller's transaction."""
    connection = context.config.attributes["connection"]
    for statement in SETTINGS:
        connection.execute(text(statement))
    context.configure(connection=connection, target_metadata=metadata)
    context.run_migrations()


def offline() -> None:
    """Write the revisions as SQL for review."""
    # `named`: the default style of parameters would double every % inside the functions.
    style = {"paramstyle": "named"}
    context.configure(
        dialect_name="postgresql", dialect_opts=style, target_metadata=metadata, as_sql=True
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    offline()
else:
    online()
