"""Package lines as the page tells them, in both languages."""

import re

import msgspec

from benefits.domain.labels import Layer
from benefits.domain.packages import Anchor, Line, LinePeriod, Segment, Start, UpgradePolicy
from tests.builders import reference_programme
from tests.web.phone import Phone, platinum
from tests.web.site import Site


async def test_lines_of_every_kind_are_explained(running: Site, phone: Phone) -> None:
    """P-2: counted from the opening, once, in rolling days, for a segment, by its own name."""
    payroll = Segment(label="p", layer=Layer.FACT, name={"zh": "代发客户", "en": "Payroll"})
    own = Line(
        code="own",
        benefit="VIDEO",
        period=LinePeriod.ROLLING,
        days=45,
        anchor=Anchor.ANNIVERSARY,
        start=Start.PERIOD,
        quota={"GOLD": 2},
        upgrade=UpgradePolicy.NEXT_PERIOD,
    )
    more = (
        own,
        msgspec.structs.replace(own, code="year", period=LinePeriod.YEAR, days=0),
        Line(
            code="once",
            benefit="VIDEO",
            period=LinePeriod.ONCE,
            valid_days=30,
            start=Start.PERIOD,
            segment=payroll,
            quantity=3,
        ),
    )
    programme = reference_programme()
    await running.world.apply(msgspec.structs.replace(programme, line=(*programme.line, *more)))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for words in (
        "Units every 45 days, counted from the day you joined",
        "Units per year, counted from the day you joined",
        "Units once",
        "Payroll 3",
        "Through the last of the 45 days they are for.",
        "For 30 days after the day they arrive.",
        "They come on its first day",
        "it brings more from the next period on.",
    ):
        assert words in text
    _, html = await phone.get("/page/benefits/VIDEO?lang=zh")
    assert "代发客户" in html
    assert "每45天（自您开户之日起算）" in html
