"""Topics of what the bank tells beside feeds and rates, by which programmes find what is theirs.

What is told of a topic may change what a programme decided (A-7), if it asks for the topic.
"""

HOLDERS = "holders"  # who holds joint accounts
MERGERS = "mergers"  # who is one person with another (T-10)


def of_label(key: str) -> str:
    """Return the topic of a label, given with its layer (T-2)."""
    return f"label:{key}"


def of_balances(currency: str) -> str:
    """Return the topic of balances in a currency that come without a feed (A-1)."""
    return f"balances:{currency}"


def of_calendar(name: str) -> str:
    """Return the topic of what a calendar says of days (M-6)."""
    return f"calendar:{name}"
