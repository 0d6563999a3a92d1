"""The page's two languages: their words, how they write amounts and dates, and the templates.

Messages are written in English where they are used; a catalogue per language, read with Babel at
the start, translates them. A message kept in a constant is marked with `n_`.
"""

import hashlib
from datetime import date, datetime
from decimal import Decimal
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import (
    format_date,
    format_interval,
    format_skeleton,
    format_time,
    get_timezone_location,
)
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benefits.domain.policy import Balance, Metric, Policy
from benefits.domain.programme import Programme
from benefits.domain.values import Month, local_date
from benefits.domain.windows import days_of

Message = str

HERE = Path(__file__).parent
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# What people of a country call its zone, where it is not named after a city.
ZONES = {
    ("Asia/Shanghai", "zh"): "北京时间",
    ("Asia/Shanghai", "en"): "Beijing time (UTC+8)",
}


def n_(message: Message) -> Message:
    """Mark a text for the catalogues of messages; it is translated where it is shown."""
    return message


def _static() -> dict[str, tuple[str, bytes]]:
    """Return the static files by a name that changes with their content."""
    files = dict[str, tuple[str, bytes]]()
    for path in sorted((HERE / "static").iterdir()):
        content = path.read_bytes()
        name = f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
        files[name] = (MEDIA_TYPES[path.suffix], content)
    return files


STATIC = _static()


def asset(file: str) -> str:
    """Return the address of a static file."""
    stem, _, suffix = file.rpartition(".")
    parts = (name for name in STATIC if name.startswith(f"{stem}-") and name.endswith(suffix))
    return "/page/static/" + next(parts)


class Tongue:
    """A language of the page: its words, and how it writes amounts and dates."""

    def __init__(self, code: str, html: str, locale: str) -> None:
        """Read the language's catalogue of messages."""
        self.code = code
        self.html = html
        self.locale = locale
        self.joint = "" if code == "zh" else " "  # between two sentences
        self.colon = "：" if code == "zh" else ": "
        with (HERE / "locales" / code / "LC_MESSAGES" / "page.po").open("rb") as file:
            catalogue = read_po(file, locale=code)
        compiled = BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        self._messages = GNUTranslations(compiled)
        self._environment = Environment(
            auto_reload=False,
            autoescape=True,
            extensions=["jinja2.ext.i18n"],
            loader=FileSystemLoader(HERE / "templates"),
            lstrip_blocks=True,
            trim_blocks=True,
            undefined=StrictUndefined,
        )
        i18n: Any = self._environment
        i18n.install_gettext_translations(self._messages, newstyle=True)
        self._environment.globals |= {"asset": asset, "tongue": self}

    def word(self, message: Message) -> str:
        """Translate a message."""
        return self._messages.gettext(message)

    def say(self, message: Message, **blanks: object) -> str:
        """Translate a message and fill in its blanks."""
        return self.word(message) % blanks

    def text(self, texts: dict[str, str]) -> str:
        """Return the programme's own text in this language, or in one that it has."""
        return texts.get(self.code) or next(iter(texts.values()), "")

    def day(self, day: date) -> str:
        """Write a date."""
        return format_date(day, "long", locale=self.locale)

    def month(self, month: Month) -> str:
        """Write a month."""
        return format_skeleton("yMMMM", month.start, locale=self.locale)

    def period(self, policy: Policy, month: Month, day: date | None = None) -> str:
        """Write the days of a metric that a month is judged by; `day` of a point in time."""
        words = self._days(policy, month, day)
        if policy.balance is Balance.OPENING:
            return self.say(n_("%(period)s (opening balances)"), period=words)
        return words

    def _days(self, policy: Policy, month: Month, day: date | None) -> str:
        first, last = days_of(policy, month, day)
        match policy.metric:
            case Metric.MONTH_AVG:
                return self.month(month)
            case Metric.QUARTER_AVG:
                return format_skeleton("yQQQQ", first, locale=self.locale)
            case Metric.YEAR_AVG:
                return format_skeleton("y", first, locale=self.locale)
            case Metric.LAST_K_MONTHS:
                return format_interval(first, last, "yMMMM", locale=self.locale)
            case Metric.ROLLING:
                return format_interval(first, last, "yMMMMd", locale=self.locale)
            case Metric.POINT_IN_TIME if day is not None:
                return self.day(day)
            case Metric.POINT_IN_TIME:
                words = n_("the last business day of %(month)s")
                return self.say(words, month=self.month(month))

    def moment(self, at: datetime, zone: ZoneInfo) -> str:
        """Write an instant in a zone, to the minute."""
        return f"{self.day(local_date(at, zone))} {self.time(at, zone)}"

    def time(self, at: datetime, zone: ZoneInfo) -> str:
        """Write the time of day of an instant in a zone, to the minute."""
        return format_time(at, "short", tzinfo=zone, locale=self.locale)

    def money(self, minor: int, programme: Programme) -> str:
        """Write an amount of minor units, without the fraction where there is none."""
        amount = Decimal(minor).scaleb(-programme.minor_digits)
        whole = amount == amount.to_integral_value()
        return format_currency(
            amount,
            programme.currency,
            "¤#,##0" if whole else None,
            locale=self.locale,
            currency_digits=not whole,
            decimal_quantization=whole,
        )

    def whole(self, minor: int, programme: Programme, *, up: bool = False) -> str:
        """Write an amount in whole units of the currency: rounded down, or `up` to be enough."""
        unit = 10**programme.minor_digits
        units = -(-minor // unit) if up else minor // unit
        return self.money(units * unit, programme)

    def zone(self, zone: ZoneInfo) -> str:
        """Write what a zone's time is called."""
        if (zone.key, self.code) in ZONES:
            return ZONES[zone.key, self.code]
        city = get_timezone_location(zone, locale=self.locale, return_city=True)
        return self.say(n_("%(city)s time"), city=city)

    def render(self, template: str, **context: Any) -> str:
        """Return a template as HTML."""
        return self._environment.get_template(template).render(context)


TONGUES = {
    "zh": Tongue("zh", "zh-CN", "zh_Hans_CN"),
    "en": Tongue("en", "en", "en_GB"),
}
