"""How many random lives a test leads: a few in every run, more when somebody looks for longer."""

import os

TIMES = int(os.environ.get("TEST_LIVES", "1"))


def seeds(few: int) -> range:
    """Return the seeds of a test that leads a `few` lives, or as many times that as are asked."""
    return range(few * TIMES)
