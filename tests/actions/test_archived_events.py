"""Events of archived months stay in the database; the month's file says what they were."""

from pathlib import Path

import pytest

from tests.actions import test_archive_month as months
from tests.actions.life import change
from tests.actions.log import audit
from tests.actions.test_archive_month import AS_SUPERUSER, FILE, archive
from tests.builders import World

lived, world = months.lived, months.world  # two closed months, and a copy of them for each test


@pytest.mark.parametrize(
    "edit", ["SET data = data || jsonb_build_object('quantity', 9)", "SET subject_id = NULL"]
)
async def test_an_event_whose_batch_is_away_is_as_in_the_file(
    world: World, tmp_path: Path, edit: str
) -> None:
    """I9: events stay in the database when their month leaves; the file says what they were."""
    await archive(world, tmp_path)
    assert [] == await audit(world, archives=(tmp_path / FILE,))
    await change(
        world,
        AS_SUPERUSER,
        f"""UPDATE outbox {edit} WHERE batch_id IS NOT NULL
            AND batch_id < '0197c000-0000-0000-0000-000000000000'""",
    )
    found = {one.kind for one in await audit(world, archives=(tmp_path / FILE,))}
    assert "archive_differs" in found
