"""The API's own document, OpenAPI 3.1: the framework's outline, completed from the contract.

The framework gives addresses, parameters and which type goes where; the types themselves give the
schemas; `contract.py` says what each operation may answer; `examples.json` shows it, as a running
service once answered.
"""

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from benefits.domain.callers import KEY_SCOPES
from benefits.web import problems
from benefits.web.document.contract import OPERATIONS, TAGS, WIRE
from benefits.web.document.parameters import NO_SLASH, PARAMETERS, WEBHOOK_HEADERS
from benefits.web.document.shapes import SHAPES
from benefits.web.document.titles import CHINESE, OWN

Json = dict[str, Any]
EXAMPLES: dict[str, Json] = msgspec.json.decode(
    Path(__file__).with_name("examples.json").read_bytes()
)
SCHEMA = "#/components/schemas/"
INSTANT = re.compile(r"(_at|^since|^as_of|^effective_from|^next_expiry)$")
BODY_CODES = ("body_too_large", "media_type_unsupported", "request_too_slow")
GUARDED_CODES = (
    *("request_invalid", "unauthenticated", "token_invalid", "forbidden"),
    *("rate_limited", "issuer_unavailable"),
)
DESCRIPTION = """\
Membership benefits and loyalty ledger of a bank: tiers from assets under management, entitlements
that can be proven unit by unit, claims that providers fulfil.

**Writes** take an `Idempotency-Key`; after no answer, 500 or 503 send the same request under the
same key again. **Errors** are RFC 9457 problems; decide by `code`, which is stable. The `title` is
in English, or in Chinese where `Accept-Language` prefers `zh`; the `detail` is for developers.
**Dry runs**: with `?dry_run=true` a write answers what it would answer now and writes nothing.
**Quantities** are exact: an integer, or where units have decimals a string (`"0.5"`, `"2.0"`).
**Cursors** are opaque. **Answers grow**: ignore fields you do not know."""


def complete(outline: Json, app: Litestar) -> Json:
    """Return the framework's outline as the whole document."""
    guards = _scopes(app)
    outline |= {
        "info": {
            "title": "Benefits",
            "version": outline["info"]["version"],
            "summary": "Membership benefits and loyalty ledger",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {
                "url": "{service}",
                "description": "Where the bank runs it",
                "variables": {"service": {"default": "http://127.0.0.1:8080"}},
            }
        ],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "components": _components(),
        "webhooks": {name: _webhook(name, words) for name, words in WEBHOOKS.items()},
    }
    outline.pop("security", None)
    for path, operations in outline["paths"].items():
        for method, operation in operations.items():
            scopes = guards[operation["operationId"]]
            reads = method == "get" or operation["operationId"] in LEAVE_BOOKS
            operations[method] = _operation(path, operation, scopes, reads=reads)
    _publish_patterns(outline)
    return outline


def _publish_patterns(part: Any) -> None:
    """Write each pattern as JSON Schema does: bounded by `^` and by `$`, its very end."""
    if isinstance(part, dict) and isinstance(pattern := part.get("pattern"), str):
        part["pattern"] = re.sub(r"^\\A(.*)\\Z$", r"^\1$", pattern)
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            _publish_patterns(inner)


def _scopes(app: Litestar) -> dict[str, tuple[str, ...]]:
    """Return the scopes that may call each operation; none where anybody may."""
    found = dict[str, tuple[str, ...]]()
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and isinstance(handler.operation_id, str):
                named = [inspect.getclosurevars(guard).nonlocals for guard in handler.guards or ()]
                scopes = [one["scopes"] for one in named if "scopes" in one]
                found[handler.operation_id] = scopes[0] if scopes else ()
    return found


def _components() -> Json:
    _, schemas = msgspec.json.schema_components(WIRE, ref_template=SCHEMA + "{name}")
    for name, schema in schemas.items():
        if not name.endswith("Request"):
            schema.pop("additionalProperties", None)  # answers grow
        for field, shape in schema.get("properties", {}).items():
            _shape(field, shape)
        for field, more in SHAPES.get(name, {}).items():
            schema["properties"][field] |= more
    return {
        "schemas": dict(sorted(schemas.items())),
        "headers": HEADERS,
        "securitySchemes": SECURITY,
    }


def _shape(field: str, shape: Json) -> None:
    """Name the format of instants, which the types alone do not."""
    if not INSTANT.search(field):
        return
    for one in (shape, *shape.get("anyOf", ())):
        if one.get("type") == "string":
            one["format"] = "date-time"


HEADERS: Json = {
    "Idempotency-Replayed": {
        "description": "`true` when this is the first answer again and nothing happened now.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Dry-Run": {
        "description": "`true` when the request asked for a dry run: nothing was written.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Location": {
        "description": "Where what was made is found.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the same request is sent again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "RateLimit": {
        "description": "What is left of the rate, and in how many seconds it is whole again.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The rate: so many requests (`q`) within so many seconds (`w`).",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to be let in.",
        "schema": {"type": "string"},
    },
    "Content-Language": {
        "description": "The language of the title.",
        "schema": {"type": "string", "enum": ["en", "zh"]},
    },
}
SECURITY: Json = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "bk_<id>_<secret>",
        "description": "A key that the service's operator made (`benefits key create`); sent as "
        "`Authorization: Bearer bk_…`. The name beside it is the scope that it must have.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the bank's own issuer, where one is configured; sent as "
        "`Authorization: Bearer …`. The name beside it is the scope that it must have.",
    },
}


# All that this service calls of its own accord. Nothing else is sent to anybody.
WEBHOOKS = {
    "issue": "An order is sent to its provider: `POST {provider}/orders`.",
    "query": "A provider is asked what became of an order: `POST {provider}/orders/query`.",
    "revoke": "A provider is asked to take an order back: `POST {provider}/orders/revoke`.",
}


def _webhook(name: str, words: str) -> Json:
    return {
        "post": {
            "operationId": f"provider_{name}",
            "summary": words.partition(":")[0],
            "description": f"{words} Described whole, with its signature, in the provider's own "
            "contract, openapi/provider.json. Subscribers to events are not called: they poll "
            "`GET /v1/events`.",
            "tags": ["providers"],
            "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
            "responses": {"200": {"description": "What the provider's contract says."}},
            "security": [],
        }
    }


# What is no GET and yet changes nothing in the books.
LEAVE_BOOKS = {"lookup", "open_page"}


def _operation(path: str, operation: Json, scopes: tuple[str, ...], *, reads: bool) -> Json:
    """Return an operation with its words, codes, examples and who may call it."""
    name = operation["operationId"]
    told, shown = OPERATIONS[name], EXAMPLES[name]
    codes = [*told.codes, *_shared(operation, scopes), *(() if reads else ["read_only"])]
    made = {
        "operationId": name,
        "summary": told.summary,
        "description": operation["description"],
        "tags": operation["tags"],
        "parameters": [
            _parameter(one, _given(path, shown)) for one in operation.get("parameters", ())
        ],
        "responses": _success(name, operation, shown) | _problems(codes),
        "security": _security(scopes),
        "x-problem-codes": sorted(set(codes)),
    }
    if body := _body(name, operation, shown):
        made["requestBody"] = body
    if name == "receive_callback":
        made["parameters"] += WEBHOOK_HEADERS
    if name == "ready":
        made["responses"]["503"] = _not_ready(made["responses"]["200"])
    return made


CHUNKS = {"put_chunk": "4 MiB", "put_label_chunk": "1 MiB"}
# These take a body that the framework does not read.
RAW = {"grant_bulk", "import_assets", *CHUNKS, "receive_callback"}


def _shared(operation: Json, scopes: tuple[str, ...]) -> Iterator[str]:
    """Yield the codes that operations of a kind share."""
    name = operation["operationId"]
    if scopes:
        yield from GUARDED_CODES
        yield "busy"
    if "requestBody" in operation or name in RAW:
        yield from BODY_CODES
    if name not in {"health", "ready"}:
        yield from ("internal", "unavailable", "overloaded", "timed_out")


def _security(scopes: tuple[str, ...]) -> list[Json]:
    """Return each way to be let in; none means that everybody is."""
    keys = [{"apiKey": [scope]} for scope in scopes if scope in KEY_SCOPES]
    return [*keys, *({"token": [scope]} for scope in scopes)]


def _given(path: str, shown: Json) -> Json:
    """Return the parameters of an example, by name."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    match = re.fullmatch(pattern, shown["path"])
    assert match is not None, f"the example of {path} has another address"
    given = match.groupdict() | shown.get("query", {})
    numbers = {name: int(given[name]) for name in ("limit", "revision", "chunk") if name in given}
    return {"Idempotency-Key": "5f1c7a52", **given, **numbers}


def _parameter(parameter: Json, given: Json) -> Json:
    schema = parameter["schema"]
    options = [one for one in schema.get("oneOf", ()) if one != {"type": "null"}]
    if options:  # absent, not null
        schema = options[0] | {k: v for k, v in schema.items() if k != "oneOf"}
    for limit in ("minimum", "maximum"):
        if limit in schema:
            schema[limit] = int(schema[limit])
    shape = PARAMETERS.get(parameter["name"], {}).get("schema", {})
    if parameter["in"] == "query":  # a slash ends a part of a path alone
        shape = {key: value for key, value in shape.items() if value != NO_SLASH}
    schema |= shape
    schema.pop("description", None)
    made = {
        "name": parameter["name"],
        "in": parameter["in"],
        "required": parameter["required"] or parameter["name"] == "Idempotency-Key",
        "description": PARAMETERS[parameter["name"]]["description"],
        "schema": schema,
    }
    if made["required"]:
        schema.pop("default", None)
    if parameter["name"] in given:
        made["example"] = given[parameter["name"]]
    return made


def _body(name: str, operation: Json, shown: Json) -> Json | None:
    if name == "import_assets":
        described = "CSV in UTF-8 with a header, at most 1 GiB; columns as above."
        schema = {"type": "string", "format": "binary"}  # generators then take a file
        content: Json = {"text/csv": {"schema": schema, "example": shown["request"]}}
        return {"required": True, "description": described, "content": content}
    if name in CHUNKS:
        described = f"CSV in UTF-8 with a header, at most {CHUNKS[name]}; columns as above."
        schema = {"type": "string", "format": "binary"}
        content = {"text/csv": {"schema": schema, "example": shown["request"]}}
        return {"required": True, "description": described, "content": content}
    if name == "grant_bulk":
        described = "CSV with a header, or NDJSON, in UTF-8, at most 256 MiB; fields as above."
        schema = {"type": "string", "format": "binary"}
        content = {"application/x-ndjson": {"schema": schema, "example": shown["request"]}}
        content["text/csv"] = {
            "schema": schema,
            "example": "customer,benefit,business_key\nT000001,LOUNGE,spring:2025\n",
        }
        return {"required": True, "description": described, "content": content}
    if name == "receive_callback":
        described = (
            "The raw bytes that were signed, at most 64 KiB; its schema is `CallbackBody` of the "
            "provider's contract, openapi/provider.json."
        )
        content = {"application/json": {"schema": {"type": "object"}}}
        content["application/json"]["example"] = msgspec.json.decode(shown["request"])
        return {"required": True, "description": described, "content": content}
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    content = {"application/json": {"schema": schema, "example": shown["request"]}}
    return {"required": True, "content": content}


def _success(name: str, operation: Json, shown: Json) -> Json:
    status = next(status for status in operation["responses"] if status < "300")
    if name == "receive_callback":
        content = {"text/plain": {"schema": {"type": "string"}, "example": shown["response"]}}
        return {
            status: {"description": "Kept; the literal the contract asks for.", "content": content}
        }
    schema = operation["responses"][status]["content"]["application/json"]["schema"]
    response: Json = {
        "description": HTTPStatus(int(status)).phrase,
        "content": {"application/json": {"schema": schema, "example": shown["response"]}},
    }
    if "csv" in shown:
        csv = {"schema": {"type": "string"}, "example": shown["csv"]}
        response["content"]["text/csv"] = csv
    headers = []
    if "idempotency_key_conflict" in OPERATIONS[name].codes:
        headers.append("Idempotency-Replayed")
    if any(one["name"] == "dry_run" for one in operation.get("parameters", ())):
        headers.append("Dry-Run")
    if name in {"claim", "grant_bulk"}:
        headers.append("Location")
    if headers:
        response["headers"] = _headers(headers)
    if name in LINKS:
        response["links"] = LINKS[name]
    if name == "grant_bulk":
        later = {"description": "Kept; the worker decides it", "headers": response["headers"]}
        job = {"granted": 0, "refused": 0, "state": "running", "ended_at": None}
        example = {"job": shown["response"]["job"] | job, "rows": []}
        content = {"application/json": {"schema": schema, "example": example}}
        return {status: response, "202": later | {"content": content}}
    if name == "claim":
        waits = {"schema": {"$ref": f"{SCHEMA}WaitAnswer"}, "example": shown["waits"]}
        later = {"description": "It waits for room", "headers": response["headers"]}
        return {status: response, "202": later | {"content": {"application/json": waits}}}
    others = OTHERWISE.get(name, {})
    return {status: response} | {s: response | {"description": d} for s, d in others.items()}


# Other statuses that an answer of the same shape may have.
OTHERWISE = {
    "open_feed": {"200": "It is there; how it stands"},
    "put_chunk": {"200": "It was there; the first answer"},
    "seal_feed": {"202": "It is as said; the worker goes on"},
    "open_label_feed": {"200": "It is there; how it stands"},
    "put_label_chunk": {"200": "It was there; the first answer"},
    "seal_label_feed": {"202": "It is as said; the worker goes on"},
}


def _linked(operation: str, parameter: str, pointer: str) -> Json:
    given = {parameter: f"$response.body#/{pointer}"}
    return {operation: {"operationId": operation, "parameters": given}}


# What an answer leads to.
LINKS = {
    "claim": _linked("get_claim", "claim_id", "id"),
    "propose_correction": _linked("get_correction", "correction_id", "id"),
    "get_benefits": _linked("get_claim", "claim_id", "claims/0/id"),
    "get_cases": _linked("close_case", "case_id", "cases/0/id"),
    "get_events": _linked("get_summary", "member_id", "events/0/member_id"),
    "get_job": _linked("get_job_rows", "job_id", "id"),
    "grant_bulk": _linked("get_job", "job_id", "job/id"),
}


def _headers(names: list[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _not_ready(ready: Json) -> Json:
    wrong = "the database does not answer"
    said = {"status": wrong, "checks": {"database": wrong}}
    media = ready["content"]["application/json"]
    return {
        "description": "It cannot work now, and why",
        "content": {"application/json": media | {"example": said}},
    }


def all_problems() -> dict[str, int]:
    """Return every problem code with its status."""
    known = {kind.code: status for kind, status in problems.STATUSES.items()}
    own = {code: status for status, code in problems.HTTP_CODES.items() if code in OWN}
    return known | own | {"internal": 500}


def _problems(codes: list[str]) -> Json:
    """Return the problem responses of some codes, by status, with an example of each."""
    statuses, by_status = all_problems(), dict[int, list[str]]()
    for code in sorted(set(codes)):
        by_status.setdefault(statuses[code], []).append(code)
    return {str(status): _problem(status, by_status[status]) for status in sorted(by_status)}


def _problem(status: int, codes: list[str]) -> Json:
    headers = ["Content-Language"]
    if status == HTTPStatus.TOO_MANY_REQUESTS or any(c in problems.RETRY_AFTER_S for c in codes):
        headers.append("Retry-After")
    if any(code in problems.CHALLENGES for code in codes):
        headers.append("WWW-Authenticate")
    examples = {}
    for code in codes:
        english = problems.titles(code)["en"]
        value = {
            "type": f"urn:benefits:problem:{code}",
            "title": english,
            "status": status,
            "code": code,
            "detail": english,
        }
        examples[code] = {"summary": f"{english} {CHINESE[code]}", "value": value}
    return {
        "description": f"{HTTPStatus(status).phrase}: " + ", ".join(f"`{code}`" for code in codes),
        "headers": _headers(headers),
        "content": {
            problems.MEDIA_TYPE: {"schema": {"$ref": SCHEMA + "Problem"}, "examples": examples}
        },
    }
