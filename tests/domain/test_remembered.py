"""What is remembered of a programme's version is what its rule says, and of no other version."""

from msgspec.structs import replace

from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.remembered import KEPT_MAX, remembered
from tests.builders import PROGRAMME


def test_a_rule_is_asked_once_for_each_version() -> None:
    """The same values give the same answer; another version is asked anew."""
    asked = list[tuple[int, int]]()

    @remembered
    def days(programme: Programme, more: int) -> int:
        asked.append((programme.notice_days, more))
        return programme.notice_days + more

    first = read(PROGRAMME)
    second = replace(first, notice_days=first.notice_days + 1)
    said = [days(one, more) for one in (first, second, first, second) for more in (1, 2)]
    begin = first.notice_days
    assert [begin + more for more in (1, 2, 2, 3, 1, 2, 2, 3)] == said
    assert [(begin + nth, more) for nth in (0, 1) for more in (1, 2)] == asked
    assert first == read(PROGRAMME), "what is remembered is no part of a version"


def test_what_is_remembered_is_bounded() -> None:
    """However much is asked, no more than so many answers are kept, and each is right."""

    @remembered
    def twice(_: Programme, number: int) -> int:
        return 2 * number

    programme = read(PROGRAMME)
    numbers = range(2 * KEPT_MAX + 1)
    assert [2 * number for number in numbers] == [twice(programme, number) for number in numbers]
    assert 1 == len(programme.kept) <= len(next(iter(programme.kept.values()))) <= KEPT_MAX
