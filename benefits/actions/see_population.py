"""See whom a rule lets in, of all members, as of now: a benefit's own rule, or one to be tried."""

from benefits.actions.claim import UnknownBenefit
from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Catalogue
from benefits.domain.eligibility import Frame, RuleFile, check_rule
from benefits.domain.fields import Channel
from benefits.domain.programme import Programme
from benefits.domain.values import local_date
from benefits.store.db import Connection
from benefits.store.eligibility import Asked


async def asked_of(conn: Connection, parts: Parts, benefit: str, channel: Channel | None) -> Asked:
    """Return the rule by which a benefit, or what replaces it, is claimed now (UnknownBenefit)."""
    offers = (await parts.catalogue.current(conn)).offers
    if benefit not in offers:
        raise UnknownBenefit
    programme, offered = offers[benefit]
    now = parts.clock()
    today = local_date(now, programme.tz)
    return Asked(
        rule=programme.serving(offered, today).eligible,
        programme=programme,
        today=today,
        now=now,
        channel=channel.value if channel else "",
    )


async def tried(conn: Connection, parts: Parts, file: RuleFile, channel: Channel | None) -> Asked:
    """Return a rule as if it were in force now (UnknownProgramme, RuleInvalid)."""
    programme = _programme(await parts.catalogue.current(conn), file.programme)
    check_rule(file.eligible, Frame(tuple(programme.ranks), programme.minor_digits))
    now = parts.clock()
    return Asked(
        rule=file.eligible,
        programme=programme,
        today=local_date(now, programme.tz),
        now=now,
        channel=channel.value if channel else "",
    )


def _programme(catalogue: Catalogue, code: str) -> Programme:
    programmes = catalogue.programmes
    if not code and len(programmes) == 1:
        return next(iter(programmes.values()))
    if code not in programmes:
        raise UnknownProgramme(f"Programmes are: {', '.join(sorted(programmes)) or 'none yet'}.")
    return programmes[code]
