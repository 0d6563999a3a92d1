"""A change of the API that breaks a client is named, one that does not is let through."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benefits.cli import commands
from benefits.web.document.changes import changes
from tests.tidy.sources import ROOT

ANY = {"type": "object"}


def document(**changed: Any) -> dict[str, Any]:
    """Return a small document: one operation, whose parts may be changed."""
    operation = {
        "operationId": "claim",
        "security": [{"apiKey": ["mobile"]}, {"apiKey": ["crm"]}],
        "parameters": [
            {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer"}}
        ],
        "requestBody": {
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}}
        },
        "responses": {
            "201": {
                "headers": {"Location": {}},
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/View"}}},
            },
            "409": {"content": {}},
        },
    }
    schemas = {
        "Wish": {
            "type": "object",
            "additionalProperties": False,
            "required": ["benefit"],
            "properties": {
                "benefit": {"type": "string", "maxLength": 10},
                "kind": {"enum": ["A", "B"]},
                "count": {"type": "number"},
            },
        },
        "View": {
            "type": "object",
            "required": ["id", "state"],
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "state": {"enum": ["X", "Y"]},
                "parts": {"type": "array", "items": {"$ref": "#/components/schemas/View"}},
                "at": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "more": {"type": "object", "additionalProperties": {"type": "integer"}},
            },
        },
    }
    made = {"paths": {"/claims": {"post": operation}}, "components": {"schemas": schemas}}
    for path, value in changed.items():
        place: Any = made
        *names, last = path.split("__")
        for name in names:
            place = place[int(name) if isinstance(place, list) else PLACES.get(name, name)]
        if value is None:
            del place[last]
        else:
            place[PLACES.get(last, last)] = value
    return made


PLACES = {"claims": "/claims", "json": "application/json"}
WISH, VIEW = "components__schemas__Wish", "components__schemas__View"
CLAIM = "paths__claims__post"
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"paths": {}}, "/claims: the address is gone"),
    ({f"{CLAIM}": None}, "POST /claims: the operation is gone"),
    ({f"{CLAIM}__operationId": "other"}, "another operationId"),
    ({f"{CLAIM}__security": [{"apiKey": ["crm"]}]}, "with apiKey mobile one may not"),
    ({f"{CLAIM}__parameters": []}, "the parameter is gone"),
    ({f"{CLAIM}__parameters__0__required": True}, "query limit: it is required now"),
    ({f"{CLAIM}__parameters__0__schema": {"type": "string"}}, "its type: string, integer"),
    (
        {f"{CLAIM}__parameters__0__schema": {"type": "integer", "maximum": 9}},
        "maximum is 9 now",
    ),
    ({f"{CLAIM}__requestBody__required": True}, "body: it is required now"),
    ({f"{CLAIM}__requestBody__content": {"text/csv": {}}}, "application/json is not taken"),
    ({f"{CLAIM}__responses": {"200": {}}}, "201: it is not answered any more"),
    ({f"{CLAIM}__responses__201__headers": {}}, "the header Location is gone"),
    ({f"{CLAIM}__responses__201__content": {}}, "it is not application/json any more"),
    ({f"{WISH}__required": ["benefit", "kind"]}, "body.kind: it is required now"),
    (
        {f"{WISH}__required": ["benefit", "new"], f"{WISH}__properties__new": ANY},
        "body.new: a new field is required",
    ),
    ({f"{WISH}__properties__kind": None}, "body.kind: the field is gone"),
    ({f"{WISH}__properties__kind": {"enum": ["A"]}}, "not taken any more: 'B'"),
    ({f"{WISH}__properties__benefit": {"type": "string", "maxLength": 9}}, "maxLength is 9"),
    (
        {f"{WISH}__properties__benefit": {"type": "string", "maxLength": 10, "minLength": 1}},
        "minLength is 1 now",
    ),
    (
        {f"{WISH}__properties__benefit": {"type": "string", "pattern": "^A"}},
        "it must match ^A now",
    ),
    ({f"{WISH}__properties__benefit": {"type": "string", "enum": ["A"]}}, "only some values"),
    ({f"{WISH}__properties__benefit": {"type": "string", "format": "uuid"}}, "its format"),
    ({f"{WISH}__properties__count": {"type": "integer"}}, "its type: integer, number"),
    ({f"{VIEW}__properties__id": None}, "201.id: the field is gone"),
    ({f"{VIEW}__required": ["id"]}, "201.state: it may be absent now"),
    ({f"{VIEW}__properties__id": {"type": "integer"}}, "its type: string, integer"),
    ({f"{VIEW}__properties__id": {"type": "string"}}, "its format: uuid, any"),
    ({f"{VIEW}__properties__parts__items": {"type": "string"}}, "201.parts[]: its type"),
    (
        {f"{VIEW}__properties__id": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "201.id: it may be null now",
    ),
    (
        {f"{VIEW}__properties__more__additionalProperties": {"type": "string"}},
        "201.more{}: its type",
    ),
]
FINE: list[dict[str, Any]] = [
    {},
    {"paths__more": {"get": {"responses": {}}}},
    {f"{CLAIM}__security": []},
    {f"{CLAIM}__security": [{"apiKey": ["crm"]}, {"apiKey": ["mobile"]}, {"token": ["crm"]}]},
    {f"{CLAIM}__parameters__0__schema": {"type": "number"}},
    {f"{CLAIM}__responses__422": {}},
    {f"{WISH}__required": []},
    {f"{WISH}__properties__more": {"type": "string"}},
    {f"{WISH}__properties__kind": {"enum": ["A", "B", "C"]}},
    {f"{WISH}__properties__benefit": {"type": "string", "maxLength": 11}},
    {f"{WISH}__properties__benefit": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    {f"{WISH}__additionalProperties": True},
    {f"{VIEW}__properties__extra": ANY, f"{VIEW}__required": ["id", "state", "extra"]},
    {f"{VIEW}__properties__at": {"type": "string"}},
    {f"{VIEW}__properties__state": {"enum": ["X"]}},
]


def _broken(changed: dict[str, Any]) -> list[str]:
    found = changes(document(), document(**changed))
    return [str(change) for change in found if change.breaks]


@pytest.mark.parametrize(("changed", "words"), BROKEN, ids=lambda one: str(one)[:60])
def test_what_breaks_a_client_is_named(changed: dict[str, Any], words: str) -> None:
    """Each kind of break, with its place."""
    found = _broken(changed)
    assert [one for one in found if words in one], found


@pytest.mark.parametrize("changed", FINE, ids=str)
def test_what_only_adds_breaks_nothing(changed: dict[str, Any]) -> None:
    """More generous requests, richer answers, more ways in."""
    assert [] == _broken(changed)


def test_a_new_value_in_an_answer_is_told_and_breaks_nothing() -> None:
    """Clients are asked to expect new values; they should hear of them."""
    more = {f"{VIEW}__properties__state": {"enum": ["X", "Y", "Z"]}}
    (change,) = changes(document(), document(**more))
    assert "note POST /claims 201.state: new values: 'Z'" == str(change)


def test_a_document_breaks_nothing_of_itself() -> None:
    """Neither the small one nor the API's own, with types that hold themselves."""
    own = json.loads((ROOT / "openapi" / "benefits.json").read_text())
    assert [] == changes(document(), document())
    assert [] == changes(own, copy.deepcopy(own))


def test_the_api_breaks_no_client_of_the_last_release() -> None:
    """Who must break one replaces `openapi/released.json` in the release that says so."""
    released = json.loads((ROOT / "openapi" / "released.json").read_text())
    now = json.loads((ROOT / "openapi" / "benefits.json").read_text())
    same = released["info"]["version"].split(".")[0] == now["info"]["version"].split(".")[0]
    broken = [str(change) for change in changes(released, now) if change.breaks]
    assert [] == broken or not same


def test_the_command_names_what_breaks_and_says_so_by_its_status(tmp_path: Path) -> None:
    """A maintainer compares with the last release before the next."""
    released = ROOT / "openapi" / "released.json"
    same = CliRunner().invoke(commands, ["openapi", "--against", str(released)])
    assert 0 == same.exit_code
    older = json.loads(released.read_text())
    older["paths"]["/v1/gone"] = {"get": {"operationId": "gone", "responses": {}}}
    path = tmp_path / "older.json"
    path.write_text(json.dumps(older))
    broken = CliRunner().invoke(commands, ["openapi", "--against", str(path)])
    assert (3, True) == (broken.exit_code, "breaks /v1/gone: the address" in broken.output)
