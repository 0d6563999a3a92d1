"""What measurements share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benefits.embedded import Postgres


@pytest.fixture
def durable_server() -> Iterator[Postgres]:
    """Give an embedded PostgreSQL with durable commits, not started yet."""
    folder = Path(tempfile.mkdtemp(prefix="benefits-bench-"))
    folder.chmod(0o711)
    yield Postgres(folder, say=lambda _: None)
    shutil.rmtree(folder)
