"""Consents: a member lets the bank tell a provider something, for one purpose (E-4, X-4).

A programme names the purposes that it asks for, each with the text that a member agrees to; a
benefit that needs one needs it for its own provider. What a member said last counts.
"""

from typing import Annotated

import msgspec

from benefits.domain.policy import Text
from benefits.domain.refusal import Refusal

CODE = r"[A-Za-z0-9_-]{1,64}"
Purpose = Annotated[str, msgspec.Meta(pattern=rf"\A{CODE}\Z")]


class ConsentRequired(Refusal):
    """The member has not agreed to what this benefit needs, or not any more (E-4)."""

    code = "consent_required"
    words = "The member's consent is needed first."


class ConsentUnknown(Refusal):
    """No benefit asks for this consent."""

    code = "consent_unknown"
    words = "No benefit asks for a consent to this purpose for this provider."


class Consent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A purpose that a member may agree to, in the words that they agree to."""

    code: Purpose
    text: Text


def consent_key(purpose: str, provider: str) -> str:
    """Write a consent as one text: to a purpose, for a provider."""
    return f"{purpose}:{provider}"
