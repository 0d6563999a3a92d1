"""Which tests one process runs: those that share what takes long to make.

pytest-xdist's own groups put their names into pytest's ids, which newer releases of pytest do not
let them; so the places stand here.
"""

from xdist.scheduler import LoadScopeScheduling

SHARING = (
    "tests/browser/",
    "tests/docker/test_container.py",
    "tests/sandbox/test_ledger.py",
    "tests/test_berka.py",
    "tests/test_up.py",
)


class Together(LoadScopeScheduling):  # type: ignore[misc]  # it comes without types
    """Whichever process is free takes a test, or all that share something."""

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in SHARING if nodeid.startswith(place)), nodeid)
