"""What alerts and documents say of figures is so: the names exist, the runbooks are there."""

import re
from collections.abc import Iterator

from benefits import measures
from tests.tidy.sources import ROOT

ALERTS = (ROOT / "docs" / "alerts.yaml").read_text()
WATCHING = (ROOT / "docs" / "operations" / "watching.md").read_text()
NAME = re.compile(r"\bbenefits_[a-z_]+")
# What Prometheus and the client's own collectors add.
OTHERS = {"up"}


def _exposed() -> dict[str, set[str]]:
    """Return the names under which our instruments are exposed, with their labels."""
    known = measures.REGISTRY._names_to_collectors
    return {
        name: set(getattr(collector, "_labelnames", ()))
        for name, collector in known.items()
        if name.startswith("benefits_")
    }


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _expressions() -> Iterator[str]:
    """Yield the alerts' expressions, folded ones in one line."""
    for found in re.finditer(r"expr: (?:>\n((?: {10}.+\n)+)|(.+)\n)", ALERTS):
        yield found[1] or found[2]


def test_alerts_use_only_figures_that_exist() -> None:
    """An alert about a name that nobody exposes would be silent for ever."""
    expressions = list(_expressions())
    assert ALERTS.count("- alert:") == len(expressions) > 15
    exposed = _exposed()
    used = {name for text in expressions for name in NAME.findall(text)}
    assert set() == used - exposed.keys()
    assert all(NAME.search(text) or text.split("{")[0] in OTHERS for text in expressions)


def test_alerts_use_only_labels_that_exist() -> None:
    """What is matched or grouped by is a label of the figure."""
    exposed = _exposed()
    for text in _expressions():
        for name, matched in re.findall(r"\b(benefits_[a-z_]+)\{([^}]*)", text):
            assert set(re.findall(r"(\w+)=", matched)) <= exposed[name], text
        grouped = re.findall(r"by \(([^)]*)\)", text)
        labels = {word.strip() for found in grouped for word in found.split(",")}
        known = set().union(*(exposed[name] for name in NAME.findall(text)), {"le"})
        assert labels <= known, text


def test_every_alert_has_its_part_of_the_book() -> None:
    """Whoever is woken finds what to do, and nothing is written for an alert that is none."""
    headings = set(re.findall(r"^### (.+)$", WATCHING, re.MULTILINE))
    linked = set(re.findall(r"watching\.md#([a-z-]+)", ALERTS))
    assert linked == {_anchor(heading) for heading in headings}
    assert ALERTS.count("runbook: ") == ALERTS.count("- alert:") == ALERTS.count("summary: ")


def test_every_figure_is_in_the_book() -> None:
    """The table lists each instrument once, and no other."""
    table = WATCHING.split("## Figures")[1].split("\n## ")[0]
    named = set(NAME.findall(table))
    exposed = _exposed()
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in exposed}
    families &= exposed.keys()
    assert set() == named - families
    totals = {name.removesuffix("_total") for name in families if name.endswith("_total")}
    infos = {name.removesuffix("_info") for name in families if name.endswith("_info")}
    assert set() == families - named - totals - infos
