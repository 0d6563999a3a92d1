"""The reference programme with units that have a decimal: a rail lounge takes half a visit."""

from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from tests.builders import PROGRAMME

TEXT = (
    PROGRAMME
    + """
[[benefit]]
code = "HALL"
name = { zh = "机场休息厅", en = "Airport hall" }
kind = "BOOKING"
provider = "sandbox"
sku = "hall-visit"
cost = "38.00"
consumed = "USE"
budget = "lounge"
scale = 1

[[benefit]]
code = "RAIL"
name = { zh = "高铁贵宾厅", en = "Rail lounge" }
kind = "DIRECT_TOPUP"
provider = "sandbox"
sku = "rail-visit"
cost = "20.01"
consumed = "ISSUE"
budget = "lounge"
draws = "HALL"
takes = "0.5"
stock = 9
cap = { limit = "1.5", window = "MONTH" }

[[line]]
code = "hall"
benefit = "HALL"
period = "QUARTER"
quota = { GOLD = "2.5", PLATINUM = 6, DIAMOND = 6, PRIVATE = 6 }
"""
)


def halved(*changes: tuple[str, str]) -> Programme:
    """Return the programme after changes to its text."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return read(text)
