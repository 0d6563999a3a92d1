"""The people behind members: what the customer file tells of them, and what rules ask of members.

`load` answers for some members at once, in one statement: what a group of claims is decided by, or
what lines with a rule grant by. What is not there is not known.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from uuid import UUID

from benefits.domain.fields import Known
from benefits.domain.labels import label_name
from benefits.domain.members import PERSON, Person
from benefits.domain.values import bucket_of, person_id
from benefits.store.db import Connection, rows, run

# Columns that a line does not tell keep what is there.
UPSERT = """
INSERT INTO member_person (bucket, member_id, born_on, city, is_staff, person)
SELECT n.bucket, n.member_id,
       CASE WHEN n.tells & 1 <> 0 THEN n.born_on ELSE o.born_on END,
       CASE WHEN n.tells & 2 <> 0 THEN n.city ELSE o.city END,
       CASE WHEN n.tells & 4 <> 0 THEN n.is_staff ELSE o.is_staff END,
       CASE WHEN n.tells & 8 <> 0 THEN n.person ELSE o.person END
FROM unnest($1::smallint[], $2::uuid[], $3::int[], $4::date[], $5::text[], $6::boolean[],
            $7::uuid[])
     AS n (bucket, member_id, tells, born_on, city, is_staff, person)
LEFT JOIN member_person AS o ON o.bucket = n.bucket AND o.member_id = n.member_id
ORDER BY n.bucket, n.member_id
ON CONFLICT (bucket, member_id) DO UPDATE
SET born_on = excluded.born_on, city = excluded.city, is_staff = excluded.is_staff,
    person = excluded.person
WHERE (member_person.born_on, member_person.city, member_person.is_staff, member_person.person)
      IS DISTINCT FROM (excluded.born_on, excluded.city, excluded.is_staff, excluded.person)
RETURNING member_id
"""
# Of two who are one person it is known of each what is known of either; the one who goes on first.
COPY = """
INSERT INTO member_person (bucket, member_id, born_on, city, is_staff, person)
SELECT $3, $4, o.born_on, o.city, o.is_staff, o.person FROM member_person AS o
WHERE o.bucket = $1 AND o.member_id = $2
ON CONFLICT (bucket, member_id) DO UPDATE
SET born_on = coalesce(member_person.born_on, excluded.born_on),
    city = coalesce(member_person.city, excluded.city),
    is_staff = coalesce(member_person.is_staff, excluded.is_staff),
    person = coalesce(member_person.person, excluded.person)
"""
# The last day of the latest relationship of the same person that began before this one (E-5); it
# may lie in any bucket. ix_member_person_person.
BEFORE = """
SELECT max(coalesce(e.closed_on, '9999-12-31')) FROM member_person AS q
JOIN member AS e ON e.bucket = q.bucket AND e.member_id = q.member_id
WHERE q.bucket + 0 BETWEEN 0 AND 1023 AND q.person = p.person AND e.opened_on < m.opened_on
"""
# Primary keys. Of each label and first day what was recorded last counts, of each consent what was
# said last.
KNOWN = f"""
SELECT m.member_id, m.opened_on, m.branch, p.born_on, p.city, p.is_staff,
       p.person IS NOT NULL AS is_person_known,
       CASE WHEN p.person IS NOT NULL THEN ({BEFORE}) END AS before_until,
       ARRAY(SELECT l.layer || ':' || l.label FROM member_label AS l
             WHERE l.bucket = m.bucket AND l.member_id = m.member_id
               AND l.label = ANY($3::text[]) AND l.valid_from <= $4
               AND (l.valid_to IS NULL OR l.valid_to > $4)
               AND NOT EXISTS (
                   SELECT FROM member_label AS n
                   WHERE n.bucket = l.bucket AND n.member_id = l.member_id AND n.label = l.label
                     AND n.valid_from = l.valid_from AND n.recorded_at > l.recorded_at)) AS labels,
       ARRAY(SELECT c.purpose || ':' || c.provider FROM consent AS c
             WHERE c.bucket = m.bucket AND c.member_id = m.member_id AND c.is_given
               AND NOT EXISTS (
                   SELECT FROM consent AS n
                   WHERE n.bucket = c.bucket AND n.member_id = c.member_id
                     AND n.purpose = c.purpose AND n.provider = c.provider
                     AND (n.said_on, n.recorded_at) > (c.said_on, c.recorded_at))) AS consents
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
LEFT JOIN member_person AS p ON p.bucket = m.bucket AND p.member_id = m.member_id
"""
# Primary key.
PERSONS = """
SELECT p.member_id, p.person FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member_person AS p ON p.bucket = k.bucket AND p.member_id = k.member_id
WHERE p.person IS NOT NULL
"""


async def load(
    conn: Connection, ids: Iterable[UUID], today: date, *, labels: Collection[str] = ()
) -> dict[UUID, Known]:
    """Return what is known of members on a day; of labels, those with one of the keys `labels`."""
    ordered = sorted(set(ids), key=lambda id_: (bucket_of(id_), id_.int))
    if not ordered:
        return {}
    names = sorted({label_name(key) for key in labels})
    found = await rows(conn, KNOWN, [bucket_of(id_) for id_ in ordered], ordered, names, today)
    return {
        row.member_id: Known(
            today=today,
            opened_on=row.opened_on,
            born_on=row.born_on,
            city=row.city,
            branch=row.branch,
            is_staff=row.is_staff,
            is_person_known=row.is_person_known,
            before_until=row.before_until,
            labels=frozenset(row.labels),
            consents=frozenset(row.consents),
        )
        for row in found
    }


async def persons(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return which person members are, of those whose identity document is known."""
    ordered = sorted(set(ids))
    found = await rows(conn, PERSONS, [bucket_of(id_) for id_ in ordered], ordered)
    return {row.member_id: row.person for row in found}


async def put(
    conn: Connection, people: Sequence[tuple[UUID, Person]], member_key: bytes
) -> set[UUID]:
    """Keep what is told of people by their members, who are there; return whose is news."""
    told = [(id_, person) for id_, person in people if person.tells]
    if not told:
        return set()
    found = await rows(
        conn,
        UPSERT,
        [bucket_of(id_) for id_, _ in told],
        [id_ for id_, _ in told],
        [sum(1 << PERSON.index(column) for column in person.tells) for _, person in told],
        [person.born_on for _, person in told],
        [person.city or None for _, person in told],
        [person.is_staff for _, person in told],
        [person_id(p.document, member_key) if p.document else None for _, p in told],
    )
    return {row.member_id for row in found}


async def merge(conn: Connection, of: UUID, into: UUID) -> None:
    """Let what is known of a member be known of another, who is the same person."""
    await run(conn, COPY, bucket_of(of), of, bucket_of(into), into)
