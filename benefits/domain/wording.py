"""Words that terms must not have, whoever writes them (U-2)."""

import re

_CHANGE = r"(?:修改|变更|更改|调整|變更|調整)"
# That the bank alone says what its terms mean, or may change them as it likes.
_CLAIMS = re.compile(
    "|".join(
        (
            r"最终的?解释权|最終的?解釋權|解释权归|解釋權歸",
            r"right (?:of|to) final interpretation|final right of interpretation",
            rf"保留[^，。；\n]{{0,12}}{_CHANGE}[^，。；\n]{{0,12}}[权權]",
            rf"[行们們]有[权權](?:随时|隨時|单方|單方|自行)[^，。；\n]{{0,6}}{_CHANGE}",
            r"reserves? the right\b[^.;\n]{0,40}\b(?:change|modify|amend|alter|vary)\b",
        )
    ),
    re.IGNORECASE,
)


def claim_of(text: str) -> str | None:
    """Return what a text claims and must not; None if nothing."""
    found = _CLAIMS.search(text)
    return None if found is None else found[0]
