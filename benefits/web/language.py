"""In which language a caller is told what went wrong: English or Chinese, as they prefer."""

from contextvars import ContextVar
from typing import Any

from litestar import Request

LANGUAGE: ContextVar[str] = ContextVar("LANGUAGE", default="en")


def preferred(accept_language: str) -> str:
    """Return `zh` where a caller likes it better than English, else `en`."""
    liked = dict[str, float]()
    for part in accept_language[:200].split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight or 1)
        except ValueError:
            quality = 0.0
        name = tag.strip().lower().partition("-")[0]
        liked[name] = max(quality, liked.get(name, 0.0))
    return "zh" if liked.get("zh", 0.0) > liked.get("en", 0.0) else "en"


def hear(request: Request[Any, Any, Any]) -> None:
    """Take the caller's language for the problems of this request."""
    LANGUAGE.set(preferred(request.headers.get("accept-language", "")))
