"""The commands about providers and the orders that wait for them."""

from pathlib import Path
from uuid import UUID

import asyncpg

from benefits.store.envelope import Envelope
from tests.builders import PROGRAMME
from tests.conftest import database
from tests.shell import Shell

CALLBACK = """
INSERT INTO inbox (bucket, provider, event_id, number, body_sealed, notice_sealed, received_at,
                   processed_at, verdict)
VALUES (0, 'sandbox', 'e,1', '', $1, $1, now(), now(), 'NOT_UNDERSTOOD')
"""


async def test_a_provider_is_paused_and_resumed_by_command(
    migrated: str, cluster_dsn: str, tmp_path: Path
) -> None:
    """Rehearsed first; why and by whom is told until it is resumed. Mistakes are told in words."""
    async with database(cluster_dsn, migrated) as dsn:
        shell = Shell(dsn, tmp_path)
        assert 0 == shell.run("programme", "apply", shell.file("p.toml", PROGRAMME))[0]
        pause = ("providers", "pause", "sandbox", "--reason", "Theirs.", "--by", "anna-li")
        told = "all paused until it is resumed by system:operating:anna-li: Theirs."
        for dry, holds in ((["--dry-run"], False), ([], True)):
            assert "sandbox is paused." in shell.run(*pause, *dry)[1]
            status, said = shell.run("providers", "list")
            assert (0, holds) == (status, told in " ".join(said.split()))
            assert "sandbox: 0 orders wait" in said
        resume = ("providers", "resume", "sandbox", "--reason", "Over.", "--by", "ben-wu")
        assert "sandbox is resumed." in shell.run(*resume)[1]
        assert "paused" not in shell.run("providers", "list")[1]
        status, said = shell.run("orders", "list", "--older-than-s", "60")
        assert (0, True) == (status, said.startswith("number,provider,sku,"))
        sealed = Envelope([bytes.fromhex(shell.environ["BENEFITS_SECRET_KEYS"])]).seal(b"{}")
        admin = await asyncpg.connect(dsn)
        await admin.execute(CALLBACK, sealed)
        await admin.close()
        status, said = shell.run("callbacks", "reread", "sandbox", "--by", "anna-li")
        assert (0, True) == (status, "1 callbacks were read again, 0 of them" in said)
        assert '"e,1",,NOT_UNDERSTOOD,NOT_UNDERSTOOD\n' in said
        since = ("--since", "9999-12-31T23:59:59-12:00")
        status, said = shell.run("callbacks", "reread", "sandbox", *since, "--by", "anna-li")
        assert (0, True) == (status, "0 callbacks were read again" in said)
        assert 2 == shell.run("orders", "list", "--older-than-s", "9" * 20)[0]
        number = "0" * 32
        wrong: tuple[tuple[tuple[str, ...], str], ...] = (
            (("orders", "show", number), "unknown_order"),
            (("orders", "retry", number, "--by", "anna-li"), "unknown_order"),
            ((*pause, "--sku", "none"), "unknown_provider"),
            (("callbacks", "reread", "none", "--by", "anna-li"), "unknown_provider"),
            ((*pause, "--until", "2020-01-01T00:00+08:00"), "pause_invalid"),
            ((*pause, "--until", "9999-12-31T23:59:59-12:00"), "pause_invalid"),
            ((*pause, "--reason", " "), "pause_invalid"),
        )
        for words, problem in wrong:
            status, said = shell.run(*words)
            assert (1, True) == (status, problem in said)


async def test_a_new_secret_key_is_told_what_still_needs_the_old_one(
    migrated: str, cluster_dsn: str, tmp_path: Path
) -> None:
    """An API key that was not used since is named; once it is gone nothing is."""
    async with database(cluster_dsn, migrated) as dsn:
        shell = Shell(dsn, tmp_path)
        made = shell.run("key", "create", "mobile", "--scope", "mobile")[1]
        key_id = str(UUID(made.split("_")[1]))
        lines = shell.file("m.csv", "customer,opened_on\nC0001,2020-01-01\n")
        assert 0 == shell.run("import", "members", lines)[0]
        keys = " ".join(("ab" * 32, shell.environ["BENEFITS_SECRET_KEYS"]))
        status, said = shell.run("reseal", "--dry-run", BENEFITS_SECRET_KEYS=keys)
        assert (3, True, True) == (status, key_id in said, "Dry run" in said)
        assert 0 == shell.run("key", "revoke", key_id, BENEFITS_SECRET_KEYS=keys)[0]
        assert 3 == shell.run("reseal", "--dry-run", BENEFITS_SECRET_KEYS=keys)[0]
        status, said = shell.run("reseal", BENEFITS_SECRET_KEYS=keys)
        assert (0, True) == (status, "No earlier key is needed any more." in said)
