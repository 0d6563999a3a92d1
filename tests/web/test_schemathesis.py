"""schemathesis over the whole API: it finds nothing.

`BENEFITS_FUZZ_EXAMPLES=500 pytest tests/web/test_schemathesis.py -s` runs it for long, with
another seed each time.
"""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from benefits.actions.keys import make_key
from benefits.domain.callers import BOUND, KEY_SCOPES
from benefits.domain.orders import Done
from benefits.web.rates import Quotas, Rates
from tests.actions import life
from tests.tidy.sources import ROOT
from tests.web.site import Site
from tests.web.test_mobile import platinum

EXAMPLES = os.environ.get("BENEFITS_FUZZ_EXAMPLES", "")
HERE = Path(__file__).parent


async def known(site: Site) -> dict[str, str]:
    """Make a member with claims, an open case; return the ids by the parameters they are."""
    world = site.world
    member = await platinum(site)
    claim_id, _ = await life.claimed(world, life.wish(member), life.wish(member, "LOUNGE"))
    number = await life.number_of(world, claim_id)
    await life.call_back(world, number, Done(at=world.clock(), reference="R", code="C"))
    await life.call_back(world, "0" * 32, Done(at=world.clock()))
    (case,) = await world.rows("SELECT case_id FROM case_file")
    return {
        "member_id": str(member),
        "claim_id": str(claim_id),
        "number": number,
        "provider": "sandbox",
        "case_id": str(case.case_id),
    }


@pytest.mark.timeout(3600)
async def test_schemathesis_finds_nothing(running: Site, tmp_path: Path) -> None:
    """Statuses, headers, schemas, refusals, authentication, methods; stateful too; no 500."""
    document = ROOT / "openapi" / "benefits.json"
    ids = await known(running)
    running.app.state.rates = Rates(Quotas(member=None))  # one member is asked for all the time
    async with running.world.database.transaction() as conn:
        scopes = [scope for scope in KEY_SCOPES if scope not in BOUND]
        key = await make_key(conn, "fuzz", scopes, running.world.parts)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml"),
        *("run", document, "--url", running.url),
        *("-H", f"Authorization: Bearer {key}", "--no-color", "--continue-on-failure"),
        *("--request-timeout", "120", "--suppress-health-check", "all"),
        *("--max-examples", EXAMPLES or "8", *(() if EXAMPLES else ("--seed", "7"))),
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.web.fuzz",
            "PYTHONPATH": str(ROOT),
            "BENEFITS_FUZZ_KNOWN": " ".join(f"{k}={v}" for k, v in ids.items()),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    text = said.decode()
    assert 0 == process.returncode, text[-20_000:]
    tested = re.search(r"Tested: (\d+)", text)
    assert tested is not None
    paths = json.loads(document.read_text())["paths"]
    assert sum(map(len, paths.values())) == int(tested[1])
    assert max(map(int, re.findall(r"(\d+) passed", text))) > 500
    assert [] == await running.world.findings()
