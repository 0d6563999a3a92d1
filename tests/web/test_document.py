"""The API's document is whole: valid, its examples fit, it knows every code and scope."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from benefits import app
from benefits.settings import Keys, Settings
from benefits.web import claims, problems
from benefits.web.document import contract, titles, whole
from benefits.web.page import shown_benefit
from tests.tidy.sources import ROOT
from tests.web.site import Site
from tests.web.test_mobile import call

DOCUMENT: dict[str, Any] = json.loads((ROOT / "openapi" / "benefits.json").read_text())
OPERATIONS: dict[str, Any] = {
    operation["operationId"]: operation
    for path in DOCUMENT["paths"].values()
    for operation in path.values()
}


def fits(schema: Any, value: Any) -> list[str]:
    """Return what of a value does not fit a schema of the document."""
    root = {"components": DOCUMENT["components"], **schema}
    checker = Draft202012Validator.FORMAT_CHECKER
    found = Draft202012Validator(root, format_checker=checker).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_document_is_valid_openapi() -> None:
    """A validator of OpenAPI 3.1 has nothing to say."""
    assert "3.1" == DOCUMENT["openapi"][:3]
    assert [] == [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]


def _contents(operation: Any) -> Iterator[tuple[str, Any]]:
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            yield f"{operation['operationId']} {status}", content
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"{operation['operationId']} {media}", content


def test_every_body_has_an_example_that_fits() -> None:
    """Requests, answers and each problem code: shown, and valid."""
    seen = 0
    for operation in OPERATIONS.values():
        for where, content in _contents(operation):
            shown = [one["value"] for one in content.get("examples", {}).values()]
            shown += [content["example"]] if "example" in content else []
            assert shown, where
            for value in shown:
                assert [] == fits(content["schema"], value), where
                seen += 1
    assert seen > 100


def test_every_parameter_is_described_and_its_example_fits() -> None:
    """A required one has an example."""
    for name, operation in OPERATIONS.items():
        for parameter in operation["parameters"]:
            assert parameter["description"], name
            assert "example" in parameter or not parameter["required"], name
            if "example" in parameter:
                assert [] == fits(parameter["schema"], parameter["example"]), name


def test_every_operation_says_what_it_is_for() -> None:
    """Words, a tag that is explained, and the contract knows no others."""
    assert set(OPERATIONS) == set(contract.OPERATIONS) == set(whole.EXAMPLES)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for operation in OPERATIONS.values():
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags
    assert tags == {tag for operation in OPERATIONS.values() for tag in operation["tags"]}


def test_who_may_call_is_told_and_open_routes_are_open() -> None:
    """A scope for each way in below `/v1`; none elsewhere."""
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            scopes = [scope for one in operation["security"] for s in one.values() for scope in s]
            assert path.startswith("/v1/") == bool(scopes), path
            guarded = {"unauthenticated", "forbidden"} <= set(operation["x-problem-codes"])
            assert path.startswith("/v1/") == guarded, path


def test_requests_are_closed_and_answers_are_open() -> None:
    """An unknown field in a request is refused, as the types do; answers may grow."""
    kinds = {kind.__name__: kind for kind in contract.WIRE}
    for name, schema in DOCUMENT["components"]["schemas"].items():
        closed = name.endswith("Request")
        assert closed == (schema.get("additionalProperties") is False), name
        if closed:
            configured: Any = kinds[name]
            assert configured.__struct_config__.forbid_unknown_fields, name


def test_instants_have_their_format() -> None:
    """Every field that is an instant says so."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, shape in schema.get("properties", {}).items():
            instant = [s for s in (shape, *shape.get("anyOf", ())) if s.get("type") == "string"]
            if re.search(r"(_at|^since|^as_of|(?<!period)_from|_expiry)$", field):
                assert ["date-time"] == [one.get("format") for one in instant], (name, field)


def test_every_code_has_a_title_in_both_languages() -> None:
    """And none is translated that does not exist."""
    codes = whole.all_problems()
    assert set(codes) == set(titles.CHINESE)
    for code in codes:
        words = problems.titles(code)
        assert words["en"]
        assert re.search(r"[\u4e00-\u9fff]", words["zh"])
        assert words["zh"].endswith("。")


def test_every_code_an_operation_tells_exists() -> None:
    """With the status under which it stands."""
    codes = whole.all_problems()
    for name, operation in OPERATIONS.items():
        told = {
            code: int(status)
            for status, response in operation["responses"].items()
            for code in response.get("content", {})
            .get(problems.MEDIA_TYPE, {})
            .get("examples", {})
        }
        assert {code: codes[code] for code in told} == told, name
        assert sorted(told) == operation["x-problem-codes"], name


def test_what_the_page_and_the_claim_can_refuse_is_told() -> None:
    """Each refusal that the page has words for is a code of the claim."""
    assert set(shown_benefit.REFUSED_WORDS) <= set(OPERATIONS["claim"]["x-problem-codes"])


def test_the_types_of_the_framework_are_those_of_the_document() -> None:
    """No handler takes or gives a type that the contract does not list."""
    nothing = Settings(database_url="", keys=cast("Keys", None))
    outline = app.make_web(nothing, openapi=app.openapi_config()).openapi_schema.to_schema()
    assert set(outline["components"]["schemas"]) <= set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize(
    ("accept", "language", "title"),
    [
        ("", "en", "There is nothing here."),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "此处没有内容。"),
        ("en-GB, zh;q=0.5", "en", "There is nothing here."),
        ("fr, zh;q=0.2", "zh", "此处没有内容。"),
        ("zh;q=x, ;;;,*", "en", "There is nothing here."),
    ],
)
async def test_a_title_is_in_the_callers_language(
    running: Site, accept: str, language: str, title: str
) -> None:
    """The code and the detail stay; a missing address is told like a missing claim."""
    for path in ("/nowhere", "/v1/claims/018f0000-0000-7000-8000-000000000000"):
        headers = running.headers(running.mobile_key, **{"Accept-Language": accept})
        _, got, problem = await call(running, "GET", path, headers=headers)
        assert ("not_found", title) == (problem["code"], problem["title"])
        assert language == got["Content-Language"]


async def test_a_stored_refusal_is_told_in_the_callers_language(running: Site) -> None:
    """A refusal that is answered and not raised, too."""
    member = await running.world.member()
    headers = running.headers(running.mobile_key, **{"Accept-Language": "zh"})
    wish = {"benefit": "NONE"}
    path = f"/v1/members/{member}/claims"
    _, _, problem = await call(running, "POST", path, headers=headers, json=wish)
    assert "没有计划提供此权益。" == problem["title"]


async def test_another_method_is_told_which_there_are(running: Site) -> None:
    """405 with Allow, as HTTP asks."""
    for path, allowed in (("/health", "GET"), ("/v1/rewards", "POST")):
        status, headers, problem = await call(running, "PATCH", path)
        assert (405, "method_not_allowed") == (status, problem["code"])
        assert allowed in headers["Allow"]


async def test_the_page_shows_the_document_without_script_or_stranger(running: Site) -> None:
    """Every operation, code, event and type has its place; links lead somewhere."""
    async with aiohttp.ClientSession(running.url) as http:
        async with http.get("/docs") as answer:
            html = await answer.text()
            assert (200, "text/html") == (answer.status, answer.content_type)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        async with http.get("/openapi.json") as answer:
            assert DOCUMENT == await answer.json()
        (style,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', html)
        async with http.get(style) as answer:
            assert (200, "text/css") == (answer.status, answer.content_type)
    assert "<script" not in html
    assert [] == re.findall(r'(?:src|href)="(?:https?:)?//', html)
    ids = set(re.findall(r' id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= ids
    assert set(OPERATIONS) <= ids
    assert {f"code-{code}" for code in whole.all_problems()} <= ids
    assert {f"type-{name}" for name in DOCUMENT["components"]["schemas"]} <= ids
    assert len(html.encode()) < 650_000


def test_a_claim_of_the_document_is_a_claim() -> None:
    """The example of a request is what the service decodes."""
    shown = whole.EXAMPLES["claim"]["request"]
    assert "VIDEO" == msgspec.convert(shown, claims.ClaimRequest).benefit
