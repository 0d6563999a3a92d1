"""Words that terms must not have, whoever writes them (U-2)."""

# That the bank alone says what its terms mean.
_CLAIMS = (
    "最终解释权",
    "最終解釋權",
    "right of final interpretation",
    "final right of interpretation",
    "right to final interpretation",
)


def claim_of(text: str) -> str | None:
    """Return what a text claims and must not; None if nothing."""
    return next((each for each in _CLAIMS if each in text.lower()), None)
