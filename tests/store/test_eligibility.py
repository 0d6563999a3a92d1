"""A rule means the same in SQL, over all, as in Python, of one; what is open is in neither."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, given, settings

from benefits.actions.record_members import record_members
from benefits.domain.assets import AssetLine
from benefits.domain.eligibility import Rule, labels, weigh
from benefits.domain.fields import Known, New
from benefits.domain.labels import Label, Layer, held
from benefits.domain.ladder import Truth
from benefits.domain.members import PERSON, MemberLine, Person
from benefits.domain.metrics import Reading
from benefits.domain.values import BUCKETS, Month, bucket_of, member_id
from benefits.store import eligibility, people
from benefits.store.eligibility import Asked
from tests.builders import MEMBER_KEY, NOON, World, reference_programme
from tests.rules import BRANCHES, CHANNELS, CITIES, LABELS, RULES, TODAY

EVERY = (0, BUCKETS - 1)
MEMBERS = 150
BORN = (date(1964, 2, 29), date(1965, 7, 2), date(1965, 7, 3), date(2004, 7, 2))
OPENED = (date(2020, 1, 31), date(2024, 2, 29), date(2024, 7, 2), date(2025, 6, 2), TODAY)
CLOSED = (None, None, None, date(2024, 6, 30), date(2025, 7, 1), TODAY)
PROGRAMME = reference_programme()


def some_lines(count: int) -> list[MemberLine]:
    """Return members of whom more or less is known; some are one person."""
    chance = Random(7)
    found = []
    for nth in range(count):
        opened_on, closed_on = chance.choice(OPENED), chance.choice(CLOSED)
        given_ = tuple(
            Label(name, Layer[layer], date(2025, 1, 1), chance.choice([None, TODAY, TODAY + DAY]))
            for layer, name in (
                key.split(":") for key in dict.fromkeys(chance.choices(LABELS, k=3))
            )
        )
        person = Person(
            PERSON,
            chance.choice([None, *BORN]),
            chance.choice(["", *CITIES]),
            chance.choice([None, True, False]),
            chance.choice(["", *(f"ID{n}" for n in range(count // 3))]),
        )
        line = MemberLine(
            f"P{nth:04d}",
            opened_on,
            closed_on if closed_on and closed_on >= opened_on else None,
            chance.choice(["", *BRANCHES]),
            labels=tuple({label.name: label for label in given_}.values()),
            person=person if chance.random() < 0.9 else Person(),
        )
        found.append(line)
    return found


DAY = timedelta(days=1)


async def enrol(world: World, lines: Sequence[MemberLine]) -> None:
    """Keep members as the customer file does."""
    async with world.database.transaction() as conn:
        numbered = list(enumerate(lines, 2))
        await record_members(conn, numbered, world.parts, member_key=MEMBER_KEY)


async def decide(world: World, id_: UUID, rank: int, at: datetime, *, from_: datetime) -> None:
    """Write down a tier that holds from an instant."""
    await world.rows(
        "INSERT INTO tier_decision (bucket, decision_id, member_id, programme, "
        "programme_version, month, cause, before_rank, before_misses, rank, misses, qualified, "
        "sum_minor, known_days, days, divisor, effective_from, decided_at) "
        "VALUES ($1, $2, $3, 'wealth', 1, '2025-06-01', 'UPGRADED', 0, 0, $4, 0, $4, 0, 30, 30, "
        "30, $5, $6)",
        bucket_of(id_),
        world.parts.new_id(at, bucket_of(id_)),
        id_,
        rank,
        from_,
        at,
    )


def modelled(line: MemberLine, lines: Sequence[MemberLine], rank: int) -> Known:
    """Return what ought to be known of a member."""
    person = line.person
    before = [
        other.closed_on or date(9999, 12, 31)
        for other in lines
        if person.document
        and other.person.document == person.document
        and other.opened_on < line.opened_on
    ]
    return Known(
        today=TODAY,
        opened_on=line.opened_on,
        born_on=person.born_on,
        city=person.city or None,
        branch=line.branch,
        is_staff=person.is_staff,
        is_person_known=bool(person.document),
        before_until=max(before, default=None),
        labels=held(line.labels, TODAY),
        tier=PROGRAMME.tier[rank].code,
        ranks=PROGRAMME.ranks,
    )


JUNE = [date(2025, 6, day) for day in range(1, 31)]
# What members have on each day of June: 500.00 or a little less, on all its days or but the first.
BALANCES = (
    dict.fromkeys(JUNE, 50_000),
    dict.fromkeys(JUNE, 50_000) | {JUNE[0]: 49_999},
    dict.fromkeys(JUNE[1:], 50_000),
    dict.fromkeys(JUNE[1:], 60_000),
    dict.fromkeys(JUNE[:1], 2_000_000_00),
)


async def endow(world: World, known: dict[UUID, Known]) -> None:
    """Give some members balances in June, and add what everybody's metric ought to be."""
    told = list[AssetLine]()
    for nth, line in enumerate(some_lines(MEMBERS)):
        have: dict[date, int] = {}
        if line.opened_on < JUNE[0] and nth % 7 == 0:
            have = BALANCES[nth // 7 % len(BALANCES)]
        told += [AssetLine(line.customer, day, "FUND", "CNY", n) for day, n in have.items()]
        id_ = member_id(line.customer, MEMBER_KEY)
        if line.opened_on > JUNE[-1] or id_ not in known:
            continue
        metric = Reading(
            month=Month(2025, 6),
            sum_minor=sum(have.values()),
            known_days=len({day for day in JUNE if day in have or day < line.opened_on}),
            days=30,
            divisor=30,
        )
        known[id_] = msgspec.structs.replace(known[id_], metric=metric)
    await world.assets(told)


async def population(world: World) -> dict[UUID, Known]:
    """Fill an installation; return what is known of those who are there today."""
    lines = some_lines(MEMBERS)
    await enrol(world, lines)
    chance, known = Random(8), dict[UUID, Known]()
    for line in lines:
        id_ = member_id(line.customer, MEMBER_KEY)
        rank = chance.randrange(5) if chance.random() < 0.7 else 0
        if rank:
            await decide(world, id_, (rank + 1) % 5, NOON - 9 * DAY, from_=NOON - 9 * DAY)
            await decide(world, id_, rank, NOON - 5 * DAY, from_=NOON - 5 * DAY)
            await decide(world, id_, 0, NOON - DAY, from_=NOON + DAY)  # does not hold yet
        if line.closed_on is None or line.closed_on >= TODAY:
            known[id_] = modelled(line, lines, rank)
    return known


def asked(rule: Rule, channel: str = "") -> Asked:
    """Return a rule of the reference programme, asked now."""
    return Asked(rule=rule, programme=PROGRAMME, today=TODAY, now=NOON, channel=channel)


async def let_in(world: World, what: Asked) -> list[UUID]:
    """Return whom a rule lets in, read in pages; they are as many as are counted."""
    found, after = list[UUID](), None
    async with world.database.transaction() as conn:
        while page := await eligibility.page(conn, what, EVERY, after=after, limit=80):
            found += page
            after = page[-1]
        counted = [
            await eligibility.count(conn, what, buckets)
            for buckets in ((0, 299), (300, BUCKETS - 1))
        ]
    assert len(found) == sum(counted)
    return found


async def test_what_is_known_is_what_was_told(world: World) -> None:
    """In one statement: people, labels that are valid, and who had a relationship before."""
    known = await population(world)
    async with world.database.transaction() as conn:
        loaded = await people.load(conn, known, TODAY, labels=LABELS)
    plain = {id_: msgspec.structs.replace(one, tier="", ranks={}) for id_, one in known.items()}
    assert plain == loaded


async def test_sql_is_python(world: World) -> None:
    """Whatever the rule, and its opposite, and by whatever channel a claim would come (E-1)."""
    known, loop = await population(world), asyncio.get_running_loop()
    await endow(world, known)
    in_order = sorted(known, key=lambda id_: (bucket_of(id_), id_))

    async def compare(rule: Rule, channel: str) -> None:
        for each in (rule, Rule(not_=rule)):
            expected = [
                id_
                for id_ in in_order
                if weigh(each, msgspec.structs.replace(known[id_], channel=channel)) is Truth.YES
            ]
            assert expected == await let_in(world, asked(each, channel))

    @settings(max_examples=110, suppress_health_check=list(HealthCheck), deadline=None)
    @given(RULES, CHANNELS)
    def whatever(rule: Rule, channel: str) -> None:
        asyncio.run_coroutine_threadsafe(compare(rule, channel), loop).result()

    await asyncio.to_thread(whatever)


async def test_columns_that_a_file_has_not_say_nothing(world: World) -> None:
    """An empty one takes back what was known; the same again changes nothing."""
    whole = Person(PERSON, BORN[0], "上海", is_staff=True, document="ID1")
    line = MemberLine("P1", OPENED[0], person=whole)
    id_ = member_id("P1", MEMBER_KEY)
    await enrol(world, [line])
    ((first,),) = await world.rows("SELECT member_person::text FROM member_person")
    for tells, expected in (
        ((), (BORN[0], "上海", True, True)),
        (("city",), (BORN[0], None, True, True)),
        (("staff", "person"), (BORN[0], None, None, False)),
        (PERSON, (None, None, None, False)),
    ):
        await enrol(world, [MemberLine("P1", OPENED[0], person=Person(tells))])
        async with world.database.transaction() as conn:
            one = (await people.load(conn, [id_], TODAY))[id_]
        assert expected == (one.born_on, one.city, one.is_staff, one.is_person_known)
    assert "ID1" not in first


async def test_a_person_is_new_by_the_document_alone(world: World) -> None:
    """E-5: another customer number of the same person counts, in whatever bucket it lies."""
    person = Person(("person",), document="310101196503010011")
    await enrol(
        world,
        [
            MemberLine("OLD", date(2010, 1, 1), date(2024, 9, 30), person=person),
            MemberLine("NEW", date(2025, 6, 1), person=person),
            MemberLine("OTHER", date(2025, 6, 1), person=Person(("person",), document="X")),
            MemberLine("UNKNOWN", date(2025, 6, 1)),
        ],
    )
    ids = {member_id(name, MEMBER_KEY): name for name in ("NEW", "OTHER", "UNKNOWN")}
    for months, expected in ((8, {"NEW", "OTHER"}), (9, {"OTHER"}), (12, {"OTHER"})):
        found = await let_in(world, asked(Rule(new_customer=New(months=months))))
        assert expected == {ids[id_] for id_ in found}
    assert frozenset() == labels(Rule(staff=True))
