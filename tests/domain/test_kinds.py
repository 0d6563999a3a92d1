"""What a benefit's kind asks of its provider, and of when its units are spent (V-1)."""

import pytest

from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from tests.tidy.sources import ROOT

TEXT = (ROOT / "tests" / "programme.toml").read_text(encoding="utf-8")
BENEFIT = """
[[benefit]]
code = "{code}"
name = {{ zh = "权益", en = "A benefit" }}
kind = "{kind}"
provider = "{provider}"
sku = "S"
cost = "20.00"
consumed = "{consumed}"
budget = "lounge"
"""
HOUSE = """
[[provider]]
code = "house"
name = { zh = "本行", en = "The bank" }
dialect = "internal"
"""
WAIVER = HOUSE + BENEFIT.format(code="WAIVER", kind="INTERNAL", provider="house", consumed="ISSUE")
GIFT = (
    BENEFIT.format(code="GIFT", kind="PHYSICAL", provider="sandbox", consumed="USE")
    + 'nature = "PHYSICAL_GIFT"\n'
)
PASS = BENEFIT.format(code="PASS", kind="ENTITLEMENT_PUSH", provider="sandbox", consumed="USE")
ABLE = "[provider.capabilities]"  # of the first provider in TEXT


def test_each_kind_has_a_provider_that_fits() -> None:
    """One who is called and is told of uses, or the bank itself."""
    made = read(TEXT + WAIVER + GIFT + PASS)
    assert ["INTERNAL", "PHYSICAL", "ENTITLEMENT_PUSH"] == [
        made.benefits[code].kind.value for code in ("WAIVER", "GIFT", "PASS")
    ]
    assert [False, True] == [made.providers[code].is_internal for code in ("sandbox", "house")]


@pytest.mark.parametrize(
    ("added", "old", "new", "words"),
    [
        (WAIVER, '"internal"', '"internal"\nurl = "https://x"', "provider[1].url: leave it out"),
        (WAIVER, '"internal"', '"open"\nurl = "https://x"', ".kind: INTERNAL is of providers"),
        (
            WAIVER,
            '"internal"',
            '"internal"\ncapabilities.redeem_by = "US"',
            "capabilities.redeem_by: nobody",
        ),
        (
            WAIVER,
            '"internal"',
            '"internal"\ncapabilities.two_phase = true',
            "capabilities.two_phase: what the bank does",
        ),
        (WAIVER, '"INTERNAL"', '"BOOKING"', ".kind: must be INTERNAL"),
        (WAIVER, '"INTERNAL"', '"PHYSICAL"', ".kind: PHYSICAL is of providers"),
        (WAIVER, '"ISSUE"', '"USE"', ".consumed: must be ISSUE"),
        (WAIVER, '"ISSUE"', '"ISSUE"\nrecipient = ["phone"]', ".recipient: leave it out"),
        (GIFT, '"USE"', '"ISSUE"', ".consumed: must be USE for the kind PHYSICAL"),
        (GIFT, "PHYSICAL_GIFT", "SERVICE", ".nature: must be PHYSICAL_GIFT"),
        (GIFT, "", "ON_ISSUE", ".kind: PHYSICAL asks that somebody tells"),
        (PASS, '"USE"', '"ISSUE"', ".consumed: must be USE for the kind ENTITLEMENT_PUSH"),
        (PASS, "", "ON_ISSUE", ".kind: ENTITLEMENT_PUSH asks that somebody tells"),
        (PASS, "", "US", ".kind: ENTITLEMENT_PUSH asks that the provider tells"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(
    added: str, old: str, new: str, words: str
) -> None:
    """Whoever writes the programme is told before it is applied."""
    text = TEXT + (added.replace(old, new) if old else added)
    if not old:
        text = text.replace(ABLE, f'{ABLE}\nredeem_by = "{new}"')
    with pytest.raises(ProgrammeInvalid) as refused:
        read(text)
    assert words in refused.value.detail
