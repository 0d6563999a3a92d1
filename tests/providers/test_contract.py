"""The published contract describes what really goes over the wire, in all three directions."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest

from benefits.domain.orders import NotSent, Operation, Unknown
from benefits.domain.signature import parse_secret, sign
from benefits.providers.client import Client, Method, Response
from benefits.providers.open import REASONS
from benefits.sandbox.behaviour import Behaviour
from tests.sandbox.stage import Stage, numbered, stage

DOCUMENT = json.loads((Path(__file__).parents[2] / "openapi" / "provider.json").read_text())
SIGNATURE_HEADERS = {"webhook-id", "webhook-timestamp", "webhook-signature"}


class Recorder(Client):
    """A client that keeps what it sent and what came back."""

    def __init__(self) -> None:
        super().__init__((ip_network("127.0.0.0/8"),))
        self.kept: list[tuple[str, bytes, Response]] = []

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        deadline_s: float,
        method: Method = "POST",
    ) -> Response | NotSent | Unknown:
        """Send and keep both bodies."""
        response = await super().send(
            url, headers=headers, body=body, deadline_s=deadline_s, method=method
        )
        if isinstance(response, Response):
            self.kept.append((urlsplit(url).path, body, response))
        return response


def resolved(node: Any) -> Any:
    """Follow a reference within the document."""
    while "$ref" in node:
        target: Any = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def check(schema: Any, content: Any) -> None:
    """Validate content against a schema of the document."""
    whole = {"components": DOCUMENT["components"], **schema}
    jsonschema.Draft202012Validator(whole).validate(content)


def json_schema(message: Any) -> Any:
    """Return the JSON schema of a request body or an answer."""
    return message["content"]["application/json"]["schema"]


def operations() -> Iterator[tuple[str, Any]]:
    """Give each path and callback with its operation."""
    for name, item in (DOCUMENT["paths"] | DOCUMENT["webhooks"]).items():
        yield name, item["post"]


async def use_and_undo(on: Stage, number: str) -> None:
    """Use an order and undo it, each twice; a strange use is refused."""
    use, undo = "a" * 32, "b" * 32
    await on.issue(number)
    for _ in "ab":
        await on.do(Operation.REDEEM, number, own=use)
    await on.do(Operation.REDEEM, number, own="c" * 32)
    for _ in "ab":
        await on.do(Operation.REVERSE, number, own=undo, undoes=use)
    await on.do(Operation.REVERSE, number, own="c" * 32, undoes="d" * 32)
    await on.query(number)
    for operation in (Operation.CONFIRM, Operation.REDEEM, Operation.REVERSE):
        await on.do(operation, "e" * 32, own=use, undoes=use)


async def conversation() -> tuple[Recorder, list[bytes]]:
    """Have the adapter and the sandbox say everything they can; return both sides."""
    recorder = Recorder()
    async with stage(Behaviour.MIXED, client=recorder, callback_after_s=0.5) as on:
        good, waits = numbered(Behaviour.SLOW), numbered(Behaviour.CALLS_BACK_TWICE)
        refused = numbered(Behaviour.SLOW, 1)
        refused_later = numbered(Behaviour.CALLS_BACK_TWICE, 1)
        later = datetime(2025, 7, 5, 2, tzinfo=UTC)
        second = numbered(Behaviour.SLOW, 2)
        await on.issue(second, quantity=3, companions=2, booked_for=later)
        for number in (good, waits):
            await on.query(number)
            await on.revoke(number)
            await on.issue(number)
            await on.query(number)
        await on.issue(good, sku="other")
        await on.issue(refused, phone="10000")
        await on.query(refused)
        await on.issue(refused_later, phone="10000")
        partly, busy = numbered(Behaviour.DELIVERS_PARTLY), numbered(Behaviour.TOO_BUSY)
        await on.issue(partly, quantity=3)
        await on.query(partly)
        await on.issue(busy)
        await on.use({"number": good})
        await on.query(good)
        await on.revoke(good)
        await on.arrivals.count(5)
        await on.revoke(waits)
        await on.query(waits)
        await use_and_undo(on, numbered(Behaviour.SLOW, 3))
        ends = numbered(Behaviour.SLOW, 4)
        await on.issue(ends)
        await on.do(Operation.CONFIRM, ends)
        await on.query(ends)
        await on.use({"number": ends}, "expire")
        await on.arrivals.count(6)
        await on.query(ends)
        return recorder, [raw.body for raw in on.arrivals.raws]


async def test_what_is_said_is_what_is_published() -> None:
    """Each request, answer and callback of a real conversation fits its schema, and all occur."""
    recorder, callbacks = await conversation()
    first = json.loads(recorder.kept[0][1])
    assert (3, 2) == (first["quantity"], first["companions"])
    assert "2025-07-05T02:00:00Z" == first["booked_for"]
    for name in (b"companions", b"booked_for"):
        assert 1 == sum(name in request for _, request, _ in recorder.kept)
    seen = set()
    for path, request, response in recorder.kept:
        operation = DOCUMENT["paths"][path]["post"]
        check(json_schema(operation["requestBody"]), json.loads(request))
        answer = resolved(operation["responses"][str(response.status)])
        check(json_schema(answer), json.loads(response.body))
        for name, header in answer["headers"].items():
            check(resolved(header)["schema"], response.headers[name])  # also Retry-After
        seen.add((path, response.status, json.loads(response.body)["status"]))
    for content in map(json.loads, callbacks):
        operation = DOCUMENT["webhooks"][content["type"]]["post"]
        check(json_schema(operation["requestBody"]), content)
        seen.add(("callback", 0, content["type"]))
    assert seen == {
        ("/orders", 200, "issued"),
        ("/orders", 200, "partly_issued"),
        ("/orders", 202, "pending"),
        ("/orders", 409, "rejected"),
        ("/orders", 422, "rejected"),
        ("/orders", 429, "not_processed"),
        ("/orders/query", 200, "issued"),
        ("/orders/query", 200, "partly_issued"),
        ("/orders/query", 200, "pending"),
        ("/orders/query", 200, "redeemed"),
        ("/orders/query", 200, "rejected"),
        ("/orders/query", 200, "revoked"),
        ("/orders/query", 404, "not_found"),
        ("/orders/revoke", 200, "redeemed"),
        ("/orders/revoke", 200, "revoked"),
        ("/orders/revoke", 404, "not_found"),
        ("/orders/query", 200, "confirmed"),
        ("/orders/query", 200, "expired"),
        ("/orders/confirm", 200, "confirmed"),
        ("/orders/confirm", 404, "not_found"),
        ("/orders/redeem", 200, "redeemed"),
        ("/orders/redeem", 422, "rejected"),
        ("/orders/redeem", 404, "not_found"),
        ("/orders/reverse", 200, "reversed"),
        ("/orders/reverse", 422, "rejected"),
        ("/orders/reverse", 404, "not_found"),
        ("callback", 0, "order.expired"),
        ("callback", 0, "order.issued"),
        ("callback", 0, "order.redeemed"),
        ("callback", 0, "order.rejected"),
    }


@pytest.mark.parametrize(("name", "operation"), list(operations()))
def test_each_example_fits_its_schema(name: str, operation: Any) -> None:
    """The examples of the document are true, and every operation has one."""
    messages = [operation["requestBody"], *map(resolved, operation["responses"].values())]
    for message in messages:
        for media in message.get("content", {}).values():
            for example in media.get("examples", {}).values():
                check(media["schema"], example["value"])
    assert operation["requestBody"]["content"]["application/json"]["examples"], name


@pytest.mark.parametrize(("name", "operation"), list(operations()))
def test_each_operation_requires_the_signature_headers(name: str, operation: Any) -> None:
    """Requests and callbacks are signed, without exception."""
    parameters = [resolved(parameter) for parameter in operation["parameters"]]
    assert {each["name"] for each in parameters if each["required"]} == SIGNATURE_HEADERS, name


def test_each_answer_that_decides_is_signed() -> None:
    """An answer with a status of the order carries the signature headers."""
    for path in DOCUMENT["paths"].values():
        for code, answer in path["post"]["responses"].items():
            signed = set(resolved(answer).get("headers", {})) >= SIGNATURE_HEADERS
            assert signed is (code in {"200", "202", "404", "409", "422", "429"})


def test_the_worked_signature_is_right() -> None:
    """Whoever implements the contract can check himself against the document."""
    example = DOCUMENT["x-signature-example"]
    made = sign(
        [parse_secret(example["secret"])],
        example["webhook-id"],
        int(example["webhook-timestamp"]),
        example["body"].encode(),
    )
    assert made == example["webhook-signature"]
    check({"$ref": "#/components/schemas/IssueRequest"}, json.loads(example["body"]))


def test_the_published_reasons_are_the_table_of_the_adapter() -> None:
    """The closed list is the same on both sides."""
    assert DOCUMENT["components"]["schemas"]["Reason"]["enum"] == list(REASONS)


def test_each_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    """Every component is used, every reference resolves."""
    text = json.dumps(DOCUMENT)
    for kind, members in DOCUMENT["components"].items():
        for name in members:
            assert f'"#/components/{kind}/{name}"' in text
    assert text.count('"$ref"') == text.count('"#/components/')
    list(map(resolved, references(DOCUMENT)))


def references(node: Any) -> Iterator[Any]:
    """Give every reference of the document."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from references(each)
