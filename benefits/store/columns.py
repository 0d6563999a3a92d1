"""What tables are made of: the naming of constraints, and the columns and keys they share."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    MetaData,
    SmallInteger,
    Uuid,
    text,
)
from sqlalchemy.types import UserDefinedType

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in DDL."""
        return "xid8"


INSTANT = DateTime(timezone=True)


def bucket() -> Column[int]:
    """Return the bucket a row lies in, first column of every row that concerns a member."""
    return Column("bucket", SmallInteger, nullable=False)


def member() -> Column[object]:
    """Return the member a row belongs to."""
    return Column("member_id", Uuid, nullable=False)


def owner() -> tuple[Column[int], Column[object]]:
    """Return bucket and member, the first two columns of rows that are found by their member."""
    return bucket(), member()


def in_bucket() -> CheckConstraint:
    """Return the check of the bucket, where no foreign key makes it."""
    return CheckConstraint("bucket BETWEEN 0 AND 1023", name="bucket")


def of_member() -> ForeignKeyConstraint:
    """Return the foreign key to the member's row."""
    return ForeignKeyConstraint(["bucket", "member_id"], ["member.bucket", "member.member_id"])


def xid() -> Column[int]:
    """Return the transaction that wrote the row, for readers in commit order."""
    return Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()"))
