"""A choice: whose units become units of one of several benefits, as the member chooses (P-8)."""

import msgspec

from benefits.domain.policy import Text

CHOICES = "CHOICE:"


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that a member turns into units of one of its `benefits`, one for one (P-8).

    Unless they may `repeat`, a member chooses each benefit once in what a line brings a period.
    """

    code: str
    name: Text
    benefits: tuple[str, ...]
    repeat: bool = False

    @property
    def unit(self) -> str:
        """The ledger's unit (C-2)."""
        return f"{CHOICES}{self.code}"

    @property
    def scale(self) -> int:
        """How many decimals its units have: they are whole."""
        return 0
