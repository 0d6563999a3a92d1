"""Callers: who they are in the books, what they may do, and to what they are bound.

A caller is a service with an API key, or whoever a token speaks for. Three scopes are *bound*:
`member` to one member, `relationship_manager` to a branch or a book, `provider` to a provider. A
bound scope stands alone, so that a caller has one binding or none.
"""

from uuid import UUID

import msgspec

BOUND = ("member", "relationship_manager", "provider")
SCOPES = ("mobile", "crm", "operator", "approver", "auditor", *BOUND)
# Members and relationship managers are people who sign in: they come with a token only.
KEY_SCOPES = ("mobile", "crm", "operator", "approver", "auditor", "provider")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls; the fields after `scopes` say to what a bound caller is bound.

    `name` stands in the books and in the scope of idempotency keys: it never changes for the same
    caller, and holds neither a customer reference nor a person's name.
    """

    name: str
    scopes: frozenset[str]
    member_id: UUID | None = None
    branch: str = ""
    manager: str = ""
    provider: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether the caller may see only what is its own."""
        return not self.scopes.isdisjoint(BOUND)


def stand_well(scopes: frozenset[str]) -> bool:
    """Say whether scopes may go together: a bound one only alone."""
    return len(scopes) == 1 or (bool(scopes) and scopes.isdisjoint(BOUND))
