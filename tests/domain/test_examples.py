"""The example programmes can be read and written, and give nothing for what it must not be."""

from datetime import date
from pathlib import Path

import msgspec
import pytest

import benefits
from benefits import demo
from benefits.domain import guard
from benefits.domain.compliance import Preset
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read, write
from benefits.domain.terms import changes

FILES = sorted((Path(benefits.__file__).parent / "examples").glob("*.toml"))


def example(name: str) -> Programme:
    """Return an example."""
    (path,) = [path for path in FILES if path.stem == name]
    return read(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_whole_and_within_the_rules(path: Path) -> None:
    """It reads, is exported as it is, says what it is, and is held to China's rules."""
    text = path.read_text(encoding="utf-8")
    made = read(text)
    assert [] == changes(made, read(write(made)))
    assert msgspec.json.encode(made) == msgspec.json.encode(read(write(made)))
    assert text.startswith("# A ")
    assert Preset.CHINA is made.compliance
    assert () == guard.findings(made)


def test_the_demo_runs_both() -> None:
    """With their provider at the sandbox's address."""
    rural, private = demo.programmes("http://127.0.0.1:9")
    urls = {one.code: one.url for one in (*private.provider, *rural.provider)}
    assert {"sandbox": "http://127.0.0.1:9", "breakfast": "", "private-desk": ""} == urls
    assert (demo.FEATURED_IN, "private_bank") == (rural.code, private.code)


def test_the_clinics_last_claim_is_a_month_before_its_contract_ends() -> None:
    """V-6: the contract ends with 2030, claims 31 days before."""
    clinic = example("private_bank").benefits["CLINIC"]
    assert date(2030, 11, 30) == clinic.last_claim
