"""What a programme may not be where real members live."""

import pytest
from msgspec.structs import replace

from benefits.domain.production import check_for_production
from benefits.domain.programme import Programme, ProgrammeInvalid
from tests.domain.test_examples import example


def at(url: str, name: str = "private_bank") -> Programme:
    """Return an example whose provider is at an address."""
    made = example(name)
    called = [replace(one, url=url) if one.url else one for one in made.provider]
    return replace(made, provider=tuple(called))


@pytest.mark.parametrize("name", ["private_bank", "rural_wealth"])
def test_codes_in_stock_and_what_the_bank_does_have_no_address(name: str) -> None:
    """V-1: nobody is called for them; whoever is called is so by https."""
    made = at("https://provider.example", name)
    assert any(one.is_stock or one.is_internal for one in made.provider)
    check_for_production(made)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://provider.example", "needs https"),
        ("https://127.0.0.1:8090", "this machine"),
        ("https://user@LOCALHOST/orders", "this machine"),
    ],
)
def test_a_provider_is_elsewhere_and_called_by_https(url: str, words: str) -> None:
    """Nothing of a demo comes along."""
    with pytest.raises(ProgrammeInvalid, match=words):
        check_for_production(at(url))
