"""What was perhaps meant by a word that is not known: a name, a field, one of a few values."""

import difflib
import re
from collections.abc import Iterable

import msgspec
from msgspec import inspect

_VALUE = re.compile(r"Invalid enum value '(?P<word>[^']*)'(?: - at `(?P<path>[^`]*)`)?")
_FIELD = re.compile(r"Object contains unknown field `(?P<word>[^`]*)`(?: - at `(?P<path>[^`]*)`)?")
_STEP = re.compile(r"\.(\w+)|(\[)")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" when a known word is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def hint(error: str, document: type[msgspec.Struct]) -> str:
    """Return what was perhaps meant where a document's decoder names a value or field unknown."""
    found = _VALUE.match(error) or _FIELD.match(error)
    if found is None:
        return ""
    known = list[str]()
    for place in _at(document, found["path"] or "$"):
        if isinstance(place, inspect.EnumType):
            known += [str(each.value) for each in place.cls]
        elif isinstance(place, inspect.StructType) and found.re is _FIELD:
            known += [field.encode_name for field in place.fields]
    if near := suggestion(found["word"], known):
        return near
    return f"; it is one of {', '.join(known)}" if found.re is _VALUE and known else ""


def _at(document: type[msgspec.Struct], path: str) -> list[inspect.Type]:
    """Return the types that may stand at a path as `$.tier[0].any[1].code` of a document."""
    places = [inspect.type_info(document)]
    for name, _ in _STEP.findall(path):
        places = [
            under
            for place in places
            for under in (_fields(place, name) if name else _items(place))
        ]
    return places


def _fields(place: inspect.Type, name: str) -> list[inspect.Type]:
    fields = place.fields if isinstance(place, inspect.StructType) else ()
    return [each for field in fields if field.encode_name == name for each in _any(field.type)]


def _items(place: inspect.Type) -> list[inspect.Type]:
    match place:
        case inspect.VarTupleType() | inspect.ListType():
            return _any(place.item_type)
        case inspect.DictType():
            return _any(place.value_type)
        case _:
            return []


def _any(place: inspect.Type) -> list[inspect.Type]:
    return list(place.types) if isinstance(place, inspect.UnionType) else [place]
