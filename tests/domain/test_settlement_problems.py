"""What a provider is paid for: who may be paid by use, and that it is no member's affair."""

import pytest

from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.terms import changes
from tests.builders import PROGRAMME, reference_programme


def settled(sku: str, by: str, able: str = "") -> str:
    """Return the programme with a benefit that is settled by something."""
    text = PROGRAMME.replace(f'sku = "{sku}"', f'sku = "{sku}"\nsettled = "{by}"')
    return text.replace("deadline_s = 2.0", f"deadline_s = 2.0\n{able}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (settled("lounge-visit", "ISSUE"), "[0].settled: must be USE or left out"),
        (settled("video-month", "USE", 'redeem_by = "ON_ISSUE"'), "[1].settled: 'sandbox' counts"),
        (
            settled("video-month", "USE", 'query = "NONE"\ncallbacks = "NONE"'),
            "[1].settled: nobody tells when a piece of 'sandbox' is used",
        ),
    ],
)
def test_what_is_paid_by_use_is_of_providers_that_tell_of_uses(text: str, words: str) -> None:
    """Otherwise nobody would know what was used, and every order would cost nothing (V-5)."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(text)
    assert f"benefit{words}" in str(refused.value)


@pytest.mark.parametrize("sku", ["lounge-visit", "video-month"])
def test_what_a_provider_is_paid_for_is_no_worse_for_members(sku: str) -> None:
    """It is between the bank and the provider (U-2)."""
    found = changes(reference_programme(), read(settled(sku, "USE")))
    assert [False] == [change.is_worse for change in found]
