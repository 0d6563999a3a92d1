"""API keys: shown once, checked by their hash, rotated with an overlap, revoked for good."""

from datetime import timedelta
from uuid import UUID

import pytest

from benefits.actions.keys import (
    KeyNotValid,
    KeyUnknown,
    NameInvalid,
    ProviderUnknown,
    ScopeUnknown,
    check_key,
    list_keys,
    make_key,
    revoke_key,
    rotate_key,
)
from tests.builders import World


async def test_a_key_is_known_by_its_secret_alone(world: World) -> None:
    """Neither id nor secret alone, nor another id's secret, opens anything."""
    async with world.database.transaction() as conn:
        key = await make_key(conn, "mobile-bank", ["mobile"], world.parts)
        other = await make_key(conn, "crm", ["crm"], world.parts)
        assert "mobile-bank" == (await check_key(conn, key, world.parts)).name
        _, id_, secret = key.split("_")
        mixed = f"bk_{id_}_{other.split('_')[2]}"
        for wrong in (
            "",
            "bk",
            f"bk_{id_}",
            f"bk_{id_}_",
            f"xx_{id_}_{secret}",
            mixed,
            f"{key}00",
        ):
            with pytest.raises(KeyUnknown):
                await check_key(conn, wrong, world.parts)
        stored = await world.rows("SELECT secret_hash FROM api_key")
        assert all(bytes.fromhex(secret) not in row.secret_hash for row in stored)


async def test_a_revoked_key_opens_nothing_and_stays_listed(world: World) -> None:
    """A rotation is a second key under the same name, then the end of the first."""
    async with world.database.transaction() as conn:
        old = await make_key(conn, "crm", ["crm"], world.parts)
        new = await make_key(conn, "crm", ["crm"], world.parts)
        key_id = UUID(hex=old.split("_")[1])
        await revoke_key(conn, key_id, world.parts)
        with pytest.raises(KeyUnknown):
            await check_key(conn, old, world.parts)
        await check_key(conn, new, world.parts)
        with pytest.raises(KeyNotValid):
            await revoke_key(conn, key_id, world.parts)
        listed = {one.key_id: one.ends_at for one in await list_keys(conn)}
    assert {key_id: world.clock(), UUID(hex=new.split("_")[1]): None} == listed


async def test_names_and_scopes_are_checked(world: World) -> None:
    """A caller's name stands in the books; the service's own are not to be had."""
    async with world.database.transaction() as conn:
        for name in ("", "system:page", "Mobile", "x" * 41):
            with pytest.raises(NameInvalid):
                await make_key(conn, name, ["mobile"], world.parts)
        for scopes in ([], ["root"], ["member"], ["mobile", "relationship_manager"]):
            with pytest.raises(ScopeUnknown):
                await make_key(conn, "x", scopes, world.parts)


async def test_a_rotated_key_is_good_until_its_overlap_ends(world: World) -> None:
    """Both open while they overlap; then the next alone, with the same name and scopes."""
    async with world.database.transaction() as conn:
        old = await make_key(conn, "crm", ["crm", "auditor"], world.parts)
        key_id = UUID(hex=old.split("_")[1])
        new = await rotate_key(conn, key_id, world.parts, keep=timedelta(hours=24))
        ends = world.clock() + timedelta(hours=24)
        assert ends == (await check_key(conn, old, world.parts)).ends_at
        following = await check_key(conn, new, world.parts)
        assert ("crm", ["crm", "auditor"], None) == (
            following.name,
            following.scopes,
            following.ends_at,
        )
        world.clock.forward(hours=24)
        with pytest.raises(KeyUnknown):
            await check_key(conn, old, world.parts)
        await check_key(conn, new, world.parts)
        with pytest.raises(KeyNotValid):
            await rotate_key(conn, key_id, world.parts, keep=timedelta(hours=1))


async def test_a_key_ends_earlier_but_never_later_than_told(world: World) -> None:
    """Rotating again does not prolong it, and revoking ends it within its overlap."""
    async with world.database.transaction() as conn:
        old = await make_key(conn, "crm", ["crm"], world.parts)
        key_id = UUID(hex=old.split("_")[1])
        await rotate_key(conn, key_id, world.parts, keep=timedelta(hours=1))
        await rotate_key(conn, key_id, world.parts, keep=timedelta(hours=9))
        ends = world.clock() + timedelta(hours=1)
        assert ends == (await check_key(conn, old, world.parts)).ends_at
        await revoke_key(conn, key_id, world.parts)
        with pytest.raises(KeyUnknown):
            await check_key(conn, old, world.parts)
        assert 3 == len(await list_keys(conn))


async def test_a_providers_key_names_a_provider_in_force(world: World) -> None:
    """It has no other scope, and no other key has a provider; rotating keeps it."""
    async with world.database.transaction() as conn:
        for scopes, provider in (
            (["provider"], ""),
            (["provider"], "nobody"),
            (["provider", "operator"], "sandbox"),
            (["mobile"], "sandbox"),
        ):
            with pytest.raises(ProviderUnknown):
                await make_key(conn, "x", scopes, world.parts, provider=provider)
        key = await make_key(conn, "x", ["provider"], world.parts, provider="sandbox")
        assert "sandbox" == (await check_key(conn, key, world.parts)).provider
        key_id = UUID(hex=key.split("_")[1])
        following = await rotate_key(conn, key_id, world.parts, keep=timedelta())
        assert "sandbox" == (await check_key(conn, following, world.parts)).provider
        with pytest.raises(KeyUnknown):
            await check_key(conn, key, world.parts)
