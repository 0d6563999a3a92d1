"""Clients generated from the document claim a unit of a running service: it does not lie."""

import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.sources import ROOT
from tests.web.site import Site
from tests.web.test_mobile import platinum

HERE = Path(__file__).parent / "clients"
DOCUMENT = ROOT / "openapi" / "benefits.json"
NODE_MIN = 18


async def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run a command that must succeed; return what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, trouble = await process.communicate()
    assert 0 == process.returncode, f"{said.decode()}\n{trouble.decode()}"
    return said.decode()


def caller(site: Site) -> dict[str, str]:
    """Return what a client is told of the service."""
    return {
        "API": site.url,
        "MOBILE": site.mobile_key,
        "CRM": site.crm_key,
        "CUSTOMER": site.world.name(1),
    }


@pytest.mark.timeout(1200)
async def test_a_generated_python_client_claims(running: Site, tmp_path: Path) -> None:
    """Every operation is generated, the usage is strictly typed, and it works."""
    await platinum(running)
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "content_type_overrides": {
                    "text/csv": "application/octet-stream",
                    "application/x-ndjson": "application/octet-stream",
                },
                "post_hooks": [],
            }
        )
    )
    package = tmp_path / "benefits_client"
    await run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", DOCUMENT),
        *("--meta", "none", "--output-path", package, "--config", config, "--fail-on-warning"),
        cwd=tmp_path,
    )
    (package / "py.typed").touch()
    usage = shutil.copy(HERE / "usage.py", tmp_path)
    await run(
        *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
        *("--config-file=", "--cache-dir", tmp_path / "mypy", usage),
        cwd=tmp_path,
    )
    told = json.loads(await run(sys.executable, usage, cwd=tmp_path, **caller(running)))
    assert {
        "state": "HELD",
        "benefit": "LOUNGE",
        "refused": "idempotency_key_conflict",
        "kept": 1,
        "tiers": ["PLATINUM"],
        "units": ["LOUNGE", "VIDEO"],
        "open_orders": 1,
    } == told


async def _node_modules() -> Path:
    """Return a folder with the packages that the TypeScript client needs; it is kept for later."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    version = await run(node, "--version", cwd=HERE)
    if int(version.strip().removeprefix("v").partition(".")[0]) < NODE_MIN:
        pytest.skip(f"node {version.strip()} is older than {NODE_MIN}")
    wanted = (HERE / "package.json").read_bytes()
    name = f"benefits-clients-{os.getuid()}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    folder = Path(tempfile.gettempdir(), name)
    if not (folder / "done").is_file():
        await _install(npm, folder, wanted)
    return folder / "node_modules"


async def _install(npm: str, folder: Path, wanted: bytes) -> None:
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    (made / "package.json").write_bytes(wanted)
    try:
        await run(
            *(npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"),
            *("--no-package-lock", "--fetch-retries=0", "--fetch-timeout=20000"),
            cwd=made,
        )
    except AssertionError as error:
        shutil.rmtree(made)
        pytest.skip(f"the packages cannot be fetched: {str(error).strip()[:200]}")
    (made / "done").touch()
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


@pytest.mark.timeout(1200)
async def test_a_generated_typescript_client_claims(running: Site, tmp_path: Path) -> None:
    """The types compile strictly in a partner's program, and it works."""
    modules = await _node_modules()
    await platinum(running)
    (tmp_path / "node_modules").symlink_to(modules)
    shutil.copy(HERE / "package.json", tmp_path)
    shutil.copy(HERE / "usage.ts", tmp_path)
    made = modules / ".bin"
    await run(made / "openapi-typescript", DOCUMENT, "-o", "api.d.ts", cwd=tmp_path)
    await run(
        *(made / "tsc", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"),
        *("--target", "es2022", "--module", "nodenext", "--skipLibCheck", "usage.ts"),
        cwd=tmp_path,
    )
    told: dict[str, Any] = json.loads(
        await run("node", "usage.js", cwd=tmp_path, **caller(running))
    )
    assert ("BASE PLATINUM", "LOUNGE") == (told["told"][0], told["told"][3])
    assert {
        "state": "HELD",
        "benefit": "LOUNGE",
        "refused": "idempotency_key_conflict",
        "caught_up": True,
        "open_orders": 1,
    } == {name: value for name, value in told.items() if name != "told"}
