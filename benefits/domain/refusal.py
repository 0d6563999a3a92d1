"""Refusal: an anticipated no, in the caller's terms.

A refusal has a stable snake_case code and words; it knows no HTTP status. Each kind is defined
beside the function that raises or returns it, and `web/problems.py` lists every one of them.
"""

from typing import ClassVar


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """An anticipated no: `code` is stable for ever, the words may improve."""

    code: ClassVar[str]
    words: ClassVar[str]

    def __init__(self, detail: str = "") -> None:
        """Say no with `detail`, or with the words of the kind."""
        super().__init__(detail or self.words)

    @property
    def detail(self) -> str:
        """The sentence for the caller."""
        return str(self.args[0])

    @property
    def kept(self) -> str:
        """The sentence as it is kept under the caller's key."""
        return self.detail
