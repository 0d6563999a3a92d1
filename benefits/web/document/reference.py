"""The API's document as a page for people, and as the file that tools read. No script, no CDN.

Everything on the page comes from the document, the catalogue of events and the problem codes, so
it cannot say anything else than they do.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response, get

from benefits.domain.events import EVENTS
from benefits.web import problems
from benefits.web.document.whole import all_problems
from benefits.web.tongue import HERE, asset

Json = dict[str, Any]
Web = Request[Any, Any, Any]
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SCHEMA = "#/components/schemas/"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table: a parameter or a field, with what it may hold."""

    name: str
    place: str = ""
    kind: str
    type_link: str = ""
    note: str
    about: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A status of an operation: its example, or its problem codes."""

    status: str
    words: str
    type_link: str = ""
    example: str = ""
    codes: list[str] = []


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as the page shows it."""

    id: str
    method: str
    path: str
    summary: str
    about: list[str]
    scopes: list[str]
    parameters: list[Field]
    body: str
    body_link: str
    curl: str
    answers: list[Answer]


class Group(msgspec.Struct, frozen=True):
    """The operations of a tag."""

    name: str
    about: str
    operations: list[Shown]


class Type(msgspec.Struct, frozen=True):
    """A schema as the page shows it."""

    name: str
    about: str
    values: list[str]
    fields: list[Field]


def _environment() -> Environment:
    made = Environment(
        auto_reload=False,
        autoescape=True,
        loader=FileSystemLoader(HERE / "templates"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters["words"] = _words
    return made


def _words(text: str) -> list[tuple[bool, str]]:
    """Return the parts of a text, and which of them stand between backticks."""
    return [(bool(n % 2), part) for n, part in enumerate(text.split("`")) if part]


def _pretty(value: Any) -> str:
    if isinstance(value, str):
        return value.rstrip("\n")
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _link(schema: Json) -> str:
    return str(schema.get("$ref", "")).removeprefix(SCHEMA)


def _kind(schema: Json) -> tuple[str, str]:
    """Return what a value is, in words, and the schema it links to."""
    if name := _link(schema):
        return name, name
    parts: list[Json] = schema.get("anyOf") or schema.get("oneOf") or []
    if parts:
        kinds = [_kind(one) for one in parts]
        return " or ".join(kind for kind, _ in kinds), next((n for _, n in kinds if n), "")
    if schema.get("type") == "array":
        kind, name = _kind(schema.get("items", {}))
        return f"list of {kind}", name
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        kind, name = _kind(schema["additionalProperties"])
        return f"map of {kind}", name
    return str(schema.get("format") or schema.get("type") or "anything"), ""


def _limits(schema: Json) -> Iterator[str]:
    """Yield what a value is limited to."""
    if "enum" in schema:
        yield "one of " + ", ".join(f"`{one}`" if one else "empty" for one in schema["enum"])
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if low in schema and high in schema:
            yield f"{schema[low]} to {schema[high]}{unit}"
        elif low in schema:
            yield f"at least {schema[low]}{unit}"
        elif high in schema:
            yield f"at most {schema[high]}{unit}"
    if "default" in schema and schema["default"] not in ({}, [], ""):
        yield f"default `{_pretty(schema['default'])}`"


def _about(schema: Json, words: str = "") -> str:
    limits = "; ".join([*_limits(schema), *_limits(schema.get("items", {}))])
    return " ".join(part for part in (words, f"({limits})" if limits else "") if part)


def _parameter(parameter: Json) -> Field:
    kind, name = _kind(parameter["schema"])
    return Field(
        name=parameter["name"],
        place=parameter["in"],
        kind=kind,
        type_link=name,
        note="required" if parameter["required"] else "",
        about=_about(parameter["schema"], parameter["description"]),
    )


def _type(name: str, schema: Json) -> Type:
    required, fields = schema.get("required", ()), list[Field]()
    asked = name.endswith("Request")
    for field, shape in schema.get("properties", {}).items():
        kind, linked = _kind(shape)
        about = _about(shape, shape.get("description", ""))
        always = field in required
        note = ("required" if always else "") if asked else ("" if always else "may be absent")
        fields.append(Field(name=field, kind=kind, type_link=linked, note=note, about=about))
    return Type(name, schema.get("description", ""), schema.get("enum", []), fields)


def _curl(method: str, path: str, operation: Json) -> str:
    """Return the operation's example as a command."""
    query = list[str]()
    headers = list[str]()
    for one in operation["parameters"]:
        if "example" not in one:
            continue
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", str(one["example"]))
        elif one["in"] == "query":
            query.append(f"{one['name']}={one['example']}")
        else:
            headers.append(f'-H "{one["name"]}: {one["example"]}"')
    if operation["security"]:
        headers.insert(0, '-H "Authorization: Bearer $KEY"')
    address = path + ("?" + "&".join(query) if query else "")
    lines = [f'curl -s "$API{address}"' + ("" if method in {"get", "post"} else f" -X {method}")]
    lines += headers
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        if media != "application/json":
            lines.append(f'-H "Content-Type: {media}"')
        example = body["example"]
        text = example if isinstance(example, str) else msgspec.json.encode(example).decode()
        lines.append(f"--data-binary $'{_shell(text)}'" if "\n" in text else f"-d '{text}'")
    return " \\\n  ".join(lines)


def _shell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


def _answer(status: str, response: Json) -> Answer:
    for media, content in response.get("content", {}).items():
        if media == problems.MEDIA_TYPE:
            words = response["description"].partition(":")[0]
            return Answer(status=status, words=words, codes=list(content["examples"]))
        return Answer(
            status=status,
            words=response["description"],
            type_link=_link(content["schema"]),
            example=_pretty(content["example"]),
        )
    return Answer(status=status, words=response["description"])


def _shown(method: str, path: str, operation: Json) -> Shown:
    bodies = list(operation.get("requestBody", {}).get("content", {}).values())
    schemes: list[dict[str, list[str]]] = operation["security"]
    return Shown(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        about=operation["description"].split("\n\n"),
        scopes=sorted({scope for one in schemes for scopes in one.values() for scope in scopes}),
        parameters=[_parameter(one) for one in operation["parameters"]],
        body=_pretty(bodies[0]["example"]) if bodies else "",
        body_link=_link(bodies[0]["schema"]) if bodies else "",
        curl=_curl(method, path, operation),
        answers=[_answer(*one) for one in operation["responses"].items()],
    )


def _groups(document: Json) -> list[Group]:
    found = [
        (operation["tags"][0], _shown(method, path, operation))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return [
        Group(tag["name"], tag["description"], [one for name, one in found if name == tag["name"]])
        for tag in document["tags"]
    ]


def page_of(document: Json) -> str:
    """Return the document as HTML."""
    codes = sorted(all_problems().items(), key=lambda pair: (pair[1], pair[0]))
    return (
        _environment()
        .get_template("reference.html")
        .render(
            info=document["info"],
            groups=_groups(document),
            schemes=document["components"]["securitySchemes"],
            types=[_type(*one) for one in document["components"]["schemas"].items()],
            events=EVENTS,
            fields={
                name: [one.encode_name for one in msgspec.structs.fields(kind.data)]
                for name, kind in EVENTS.items()
            },
            codes=[(code, status, problems.titles(code)) for code, status in codes],
            style=asset("reference.css"),
        )
    )


class Reference:
    """The document and its page, made when somebody first asks."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        """Take what makes the document."""
        self._make = make
        self._made: dict[str, bytes] = {}

    def text(self, kind: Literal["json", "html"]) -> bytes:
        """Return the document, or its page."""
        if not self._made:
            document = self._make()
            page = page_of(msgspec.json.decode(document))
            self._made = {"json": document, "html": page.encode()}
        return self._made[kind]


@get("/openapi.json", include_in_schema=False)
async def get_document(request: Web) -> Response[bytes]:
    """Return the API's document."""
    content = await asyncio.to_thread(request.app.state.reference.text, "json")
    return Response(content, media_type="application/json", headers=HEADERS)


@get("/docs", include_in_schema=False)
async def get_docs(request: Web) -> Response[bytes]:
    """Return the API's document as a page."""
    content = await asyncio.to_thread(request.app.state.reference.text, "html")
    return Response(content, media_type="text/html", headers=HEADERS)


HANDLERS = [get_document, get_docs]
