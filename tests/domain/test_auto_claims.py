"""Claims that nobody makes: of which lines they can be, and when they are tried again (P-2)."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from benefits.domain.auto_claims import again_at, claiming_problems
from benefits.domain.benefit import Benefit
from benefits.domain.choice import Choice
from benefits.domain.eligibility import Rule
from benefits.domain.fields import Among, Years
from benefits.domain.packages import Claiming
from tests.builders import reference_programme

ZONE = ZoneInfo("Asia/Shanghai")
BASE = reference_programme()
VIDEO = msgspec.structs.replace(BASE.benefits["VIDEO"], recipient=())


def problems(video: Benefit, **of_line: object) -> list[str]:
    """Return what is wrong with a line that has videos claimed by nobody."""
    choice = Choice(code="PICK", name=VIDEO.name, benefits=("LOUNGE", "VIDEO"))
    line = msgspec.structs.replace(
        BASE.line[1], **{"benefit": "VIDEO", "claim": Claiming.AUTO, **of_line}
    )
    benefits = (BASE.benefits["LOUNGE"], video)
    made = msgspec.structs.replace(BASE, benefit=benefits, choice=(choice,), line=(line,))
    return list(claiming_problems(made, "line[0]", line))


WEB = Rule(any_=(Rule(staff=True), Rule(not_=Rule(channel=Among(is_="WEB")))))


@pytest.mark.parametrize(
    ("video", "of_line", "expected"),
    [
        (VIDEO, {}, []),
        (msgspec.structs.replace(VIDEO, eligible=Rule(staff=False)), {}, []),
        (
            msgspec.structs.replace(VIDEO, eligible=Rule(staff=False, age=Years(at_least=60))),
            {},
            [],
        ),
        (msgspec.structs.replace(VIDEO, eligible=Rule(all_=(Rule(),))), {}, []),
        (BASE.benefits["VIDEO"], {"claim": Claiming.CLAIM}, []),
        (
            BASE.benefits["VIDEO"],
            {},
            ["line[0].claim: a claim of 'VIDEO' brings phone, which nobody knows"],
        ),
        (
            msgspec.structs.replace(VIDEO, eligible=WEB),
            {},
            ["line[0].claim: 'VIDEO' asks for the channel of a claim; AUTO has none"],
        ),
        (
            VIDEO,
            {"benefit": "", "choice": "PICK"},
            ["line[0].claim: members choose, so they claim; what is AUTO is of one benefit"],
        ),
    ],
)
def test_what_nobody_could_claim_is_refused_by_its_path(
    video: Benefit, of_line: dict[str, object], expected: list[str]
) -> None:
    """P-2: what only the member knows, by which channel, and what is chosen.

    What is wrong with a rule by itself is told of the rule.
    """
    assert expected == problems(video, **of_line)


def test_each_wait_is_twice_as_long_and_ends_with_a_local_day() -> None:
    """K-3: windows open at midnight in the programme's zone; what cannot pass is not tried."""
    now = datetime(2025, 7, 1, 17, tzinfo=UTC)  # the second of July in Shanghai
    days = [again_at("cap_reached", tries, now, ZONE) for tries in (0, 1, 2, 9)]
    assert [
        datetime(2025, 7, 2, 16, tzinfo=UTC),
        datetime(2025, 7, 3, 16, tzinfo=UTC),
        datetime(2025, 7, 5, 16, tzinfo=UTC),
        datetime(2025, 8, 2, 16, tzinfo=UTC),
    ] == days
    assert again_at("contract_ended", 0, now, ZONE) is None
