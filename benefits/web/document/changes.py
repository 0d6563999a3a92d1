"""What a new version of the API's document would break for clients written against an old one.

Pure: two documents in, changes out. A request may only be taken more generously, an answer may
only promise more. A value that an answer did not have before (a new event type) is told but
breaks nothing: clients are asked to expect it.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

Json = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# Where a greater value takes less, and where a smaller one does.
FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


class Change(msgspec.Struct, frozen=True, order=True):
    """A difference that matters: where it is, what it is, and whether it breaks clients."""

    where: str
    words: str
    breaks: bool = True

    def __str__(self) -> str:
        """Write it as a line."""
        return f"{'breaks' if self.breaks else 'note'} {self.where}: {self.words}"


def changes(old: Json, new: Json) -> list[Change]:
    """Return what a client written against `old` meets in `new`, what breaks it first."""
    found = set(_Comparison(old, new).paths())
    return sorted(found, key=lambda change: (not change.breaks, change))


class _Comparison:
    """Two documents, each with its own references."""

    def __init__(self, old: Json, new: Json) -> None:
        self.old = old
        self.new = new
        self.open: set[tuple[str, str, bool]] = set()

    def paths(self) -> Iterator[Change]:
        """Yield the changes of all operations."""
        for path, before in self.old.get("paths", {}).items():
            after = self.new.get("paths", {}).get(path)
            if after is None:
                yield Change(path, "the address is gone")
                continue
            for method in METHODS:
                where = f"{method.upper()} {path}"
                if method in before and method not in after:
                    yield Change(where, "the operation is gone")
                elif method in before:
                    yield from self.operation(where, before[method], after[method])

    def operation(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield the changes of an operation."""
        if old.get("operationId") != new.get("operationId"):
            yield Change(where, "another operationId, after which clients name it")
        yield from self.security(where, old, new)
        yield from self.parameters(where, old, new)
        yield from self.body(where, old.get("requestBody", {}), new.get("requestBody", {}))
        yield from self.responses(where, old["responses"], new["responses"])
        told, tells = (set(one.get("x-problem-codes", ())) for one in (old, new))
        if told:
            yield from (Change(where, f"a new code: {c}", breaks=False) for c in tells - told)

    def security(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield the ways in that are no more."""
        before, after = _ways(self.old, old), _ways(self.new, new)
        if not after or frozenset() in after:
            return
        if not before:
            yield Change(where, "it was open and needs a key now")
        for way in before:
            if not any(other <= way for other in after):
                said = " and ".join(sorted(way)) or "nothing"
                yield Change(where, f"with {said} one may not call it any more")

    def parameters(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield the changes of parameters."""
        before, after = (
            {(one["in"], one["name"]): one for one in side.get("parameters", ())}
            for side in (old, new)
        )
        for key, one in before.items():
            place = f"{where} {key[0]} {key[1]}"
            if key not in after:
                yield Change(place, "the parameter is gone")
                continue
            if after[key].get("required") and not one.get("required"):
                yield Change(place, "it is required now")
            yield from self.taken(place, one.get("schema", {}), after[key].get("schema", {}))
        for key, one in after.items():
            if key not in before and one.get("required"):
                yield Change(f"{where} {key[0]} {key[1]}", "a new parameter is required")

    def body(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield the changes of a request's body."""
        if new.get("required") and not old.get("required"):
            yield Change(f"{where} body", "it is required now")
        for media, content in old.get("content", {}).items():
            if media not in new.get("content", {}):
                yield Change(f"{where} body", f"{media} is not taken any more")
                continue
            after = new["content"][media].get("schema", {})
            yield from self.taken(f"{where} body", content.get("schema", {}), after)

    def responses(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield the changes of answers; those of mistakes are only told."""
        for status in new.keys() - old.keys():
            yield Change(where, f"it may answer {status} now", breaks=status < "400")
        for status, before in old.items():
            place = f"{where} {status}"
            if status not in new:
                yield Change(place, "it is not answered any more", breaks=status < "400")
                continue
            after = new[status]
            for name in before.get("headers", {}).keys() - after.get("headers", {}).keys():
                yield Change(place, f"the header {name} is gone")
            for media, content in before.get("content", {}).items():
                if media not in after.get("content", {}):
                    yield Change(place, f"it is not {media} any more")
                    continue
                schema = after["content"][media].get("schema", {})
                yield from self.given(place, content.get("schema", {}), schema)

    def taken(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield what was taken in a request and is not any more."""
        if not self.enter(old, new, asked=True):
            return
        old, new = _resolved(self.old, old), _resolved(self.new, new)
        options, others = _options(old), _options(new)
        if len(options) > 1 or len(others) > 1:
            for option in options:
                if not any(self.fits(option, other, asked=True) for other in others):
                    yield Change(where, f"{_named(option)} is not taken any more")
            return
        yield from _narrowed(where, old, new)
        yield from self.fields(where, old, new)
        for part, place in (("items", "[]"), ("additionalProperties", "{}")):
            if isinstance(new.get(part), dict):
                inner = old.get(part)
                yield from self.taken(
                    where + place, inner if isinstance(inner, dict) else {}, new[part]
                )

    def fields(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield the changes of the fields of a request."""
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            known = "it is required now" if name in before else "a new field is required"
            yield Change(f"{where}.{name}", known)
        if new.get("additionalProperties") is False:
            if old.get("additionalProperties") is not False:
                yield Change(where, "unknown fields are refused now")
            for name in before.keys() - after.keys():
                yield Change(f"{where}.{name}", "the field is gone")
        for name in before.keys() & after.keys():
            yield from self.taken(f"{where}.{name}", before[name], after[name])

    def given(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Yield what an answer promised and does not any more."""
        if not self.enter(old, new, asked=False):
            return
        old, new = _resolved(self.old, old), _resolved(self.new, new)
        options, others = _options(old), _options(new)
        if len(options) > 1 or len(others) > 1:
            for other in others:
                if not any(self.fits(option, other, asked=False) for option in options):
                    nulls = other.get("type") == "null"
                    yield Change(where, f"it may be {_named(other)} now", breaks=nulls)
            return
        yield from _widened(where, old, new)
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before.keys() - after.keys():
            yield Change(f"{where}.{name}", "the field is gone")
        for name in set(old.get("required", ())) & after.keys() - set(new.get("required", ())):
            yield Change(f"{where}.{name}", "it may be absent now")
        for name in before.keys() & after.keys():
            yield from self.given(f"{where}.{name}", before[name], after[name])
        for part, place in (("items", "[]"), ("additionalProperties", "{}")):
            if isinstance(old.get(part), dict) and old[part]:
                inner = new.get(part)
                yield from self.given(
                    where + place, old[part], inner if isinstance(inner, dict) else {}
                )

    def fits(self, old: Json, new: Json, *, asked: bool) -> bool:
        """Say whether an option of a union stays good in another."""
        found = _Comparison(self.old, self.new)
        each = found.taken("", old, new) if asked else found.given("", old, new)
        return not any(change.breaks for change in each)

    def enter(self, old: Json, new: Json, *, asked: bool) -> bool:
        """Say whether a pair of references is met anew; a type may hold itself."""
        pair = (str(old.get("$ref", "")), str(new.get("$ref", "")), asked)
        if pair[0] and pair in self.open:
            return False
        self.open.add(pair)
        return True


def _ways(document: Json, operation: Json) -> list[frozenset[str]]:
    """Return the ways in, each as what it needs; none for an open operation."""
    needed: Any = operation.get("security", document.get("security", []))
    return [
        frozenset(f"{scheme} {scope}".strip() for scheme in way for scope in way[scheme] or [""])
        for way in needed
    ]


def _resolved(document: Json, schema: Json) -> Json:
    """Return a schema, or what it refers to."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _options(schema: Json) -> list[Json]:
    """Return the schemas one of which a value fits."""
    options: list[Json] = schema.get("anyOf") or schema.get("oneOf") or []
    if options:
        return options
    types = schema.get("type")
    if isinstance(types, list):
        return [schema | {"type": one} for one in types]
    return [schema]


def _named(schema: Json) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2] or str(schema.get("type", "anything"))


def _values(schema: Json) -> set[str] | None:
    """Return the values that an enumeration allows, None where there is none."""
    if "const" in schema:
        return {repr(schema["const"])}
    return {repr(one) for one in schema["enum"]} if "enum" in schema else None


def _kind_differs(where: str, wide: Json, narrow: Json) -> Iterator[Change]:
    """Yield a change of type or format that a value of `narrow` cannot bridge to `wide`."""
    number = wide.get("type") == "number" and narrow.get("type") == "integer"
    if wide.get("type") not in {None, narrow.get("type")} and not number:
        yield Change(where, f"its type: {wide.get('type')}, {narrow.get('type', 'anything')}")
    elif wide.get("format") not in {None, narrow.get("format")}:
        yield Change(where, f"its format: {wide.get('format')}, {narrow.get('format', 'any')}")


def _narrowed(where: str, old: Json, new: Json) -> Iterator[Change]:
    """Yield what a value in a request may not be any more."""
    yield from _kind_differs(where, new, old)
    before, after = _values(old), _values(new)
    if after is not None:
        if before is None:
            yield Change(where, "only some values are taken now")
        elif gone := before - after:
            yield Change(where, f"not taken any more: {', '.join(sorted(gone))}")
    for name in FLOORS:
        if name in new and (name not in old or new[name] > old[name]):
            yield Change(where, f"{name} is {new[name]} now")
    for name in CEILINGS:
        if name in new and (name not in old or new[name] < old[name]):
            yield Change(where, f"{name} is {new[name]} now")
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield Change(where, f"it must match {new['pattern']} now")


def _widened(where: str, old: Json, new: Json) -> Iterator[Change]:
    """Yield what a value in an answer may be and could not before."""
    yield from _kind_differs(where, old, new)
    before, after = _values(old), _values(new)
    if before is not None:
        if after is None:
            yield Change(where, "it may have other values now", breaks=False)
        elif more := after - before:
            yield Change(where, f"new values: {', '.join(sorted(more))}", breaks=False)
    for name in (*FLOORS, *CEILINGS, "pattern"):
        if name in old and old[name] != new.get(name) and not _tighter(name, old[name], new):
            yield Change(where, f"{name} was {old[name]}", breaks=False)


def _tighter(name: str, before: Any, new: Json) -> bool:
    if name not in new or name == "pattern":
        return False
    return bool(new[name] > before if name in FLOORS else new[name] < before)
