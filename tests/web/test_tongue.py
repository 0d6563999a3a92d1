"""The page's languages: which one is taken, that nothing is left untranslated, and amounts."""

import re
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from benefits.web import tongue
from tests.builders import reference_programme
from tests.web.phone import Phone
from tests.web.site import Site


async def test_the_language_is_the_address_then_the_browsers_then_chinese(
    running: Site, phone: Phone
) -> None:
    """A switch stands on every page."""
    await phone.enter(await running.world.member(), None)
    for path, accept, lang, other in (
        ("/page", "", "zh-CN", "en"),
        ("/page", "fr, en-GB;q=0.9, zh;q=0.8", "en", "zh"),
        ("/page?lang=zh", "en", "zh-CN", "en"),
        ("/page?lang=xx", "en", "en", "zh"),
        ("/page/nothing?lang=en", "zh", "en", "zh"),
        ("/page/benefits/VIDEO?lang=en", "", "en", "zh"),
        ("/page/history?lang=zh&kind=tier", "", "zh-CN", "en"),
    ):
        _, html = await phone.get(path, headers={"Accept-Language": accept})
        assert f'<html lang="{lang}">' in html
        place = "/page" if "nothing" in path else path.partition("?")[0]
        kept = "&amp;kind=tier" if "kind" in path else ""
        assert f'class="switch" href="{place}?lang={other}{kept}"' in html


def _messages() -> set[str]:
    """Return every message the page's templates and modules say."""
    found = set[str]()
    sources = [(path, "jinja2.ext:babel_extract") for path in tongue.HERE.glob("templates/*")]
    sources += [(path, "python") for path in tongue.HERE.rglob("*.py")]
    for path, how in sources:
        text = BytesIO(path.read_bytes())
        keywords: Any = {"_": None, "n_": None}
        options = {"trim_blocks": "true", "lstrip_blocks": "true"}
        for _, message, *_ in extract(how, text, keywords=keywords, options=options):
            assert isinstance(message, str)
            found.add(message)
    return found


def _catalogue(language: str) -> Catalog:
    path = Path(tongue.HERE, "locales", language, "LC_MESSAGES", "page.po")
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def test_every_message_exists_in_chinese_with_the_same_blanks() -> None:
    """And no catalogue translates what nobody says."""
    said = _messages()
    assert len(said) > 60
    assert set() == {str(m.id) for m in _catalogue("en") if m.id} - said
    chinese = {str(m.id): str(m.string) for m in _catalogue("zh") if m.id}
    assert said == set(chinese)
    blank = re.compile(r"%\(\w+\)s")
    for message, text in chinese.items():
        assert text
        assert sorted(blank.findall(message)) == sorted(blank.findall(text))


def test_a_zone_is_named_as_people_name_it() -> None:
    """The programme's zone stands beside its times (G-EXP-2)."""
    english, chinese = tongue.TONGUES["en"], tongue.TONGUES["zh"]
    shanghai, new_york = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
    assert ["北京时间", "Beijing time (UTC+8)"] == [t.zone(shanghai) for t in (chinese, english)]
    assert ["纽约时间", "New York time"] == [t.zone(new_york) for t in (chinese, english)]


def test_amounts_are_exact_in_both_languages() -> None:
    """The fraction is left out only where there is none; another currency keeps its digits."""
    programme = reference_programme()
    english, chinese = tongue.TONGUES["en"], tongue.TONGUES["zh"]
    assert "CN¥50,000" == english.money(50_000_00, programme)
    assert "¥1,234,567.80" == chinese.money(1_234_567_80, programme)
    assert "CN¥0.05" == english.money(5, programme)
    assert "¥92,233,720,368,547,758.07" == chinese.money(2**63 - 1, programme)
    assert "CN¥1,234" == english.whole(1_234_56, programme)
    assert "CN¥1,235" == english.whole(1_234_56, programme, up=True)
    assert "CN¥1,234" == english.whole(1_234_00, programme, up=True)
    dinar = msgspec.structs.replace(programme, currency="KWD", minor_digits=3)
    assert "KWD1.005" == english.money(1005, dinar)
