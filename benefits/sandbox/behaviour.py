"""How the sandbox treats an order: honestly, or with one fault of real providers and networks.

A behaviour is set for all orders, or chosen for each by its number under MIXED or WORST, so that
an order is treated the same in every run. Whatever the fault, the provider's own book is true, and
a query tells what stands in it.
"""

import enum
import hashlib

import msgspec


class Behaviour(enum.Enum):
    """How the sandbox treats an order; MIXED and WORST pick one of the others by the number."""

    GOOD = "good"
    SLOW = "slow"
    TIMES_OUT = "times_out"
    DRIPS = "drips"
    TOO_BUSY = "too_busy"
    ANSWERS_FORGED = "answers_forged"
    ANSWERS_UNLISTED = "answers_unlisted"
    DELIVERS_PARTLY = "delivers_partly"
    CALLS_BACK_TWICE = "calls_back_twice"
    CALLS_BACK_LATE = "calls_back_late"
    CALLS_BACK_DISORDERLY = "calls_back_disorderly"
    CALLS_BACK_FORGED = "calls_back_forged"
    LOSES_CALLBACKS = "loses_callbacks"
    NEVER_CALLS_BACK = "never_calls_back"
    REJECTS_THEN_DELIVERS = "rejects_then_delivers"
    DELIVERS_THEN_REJECTS = "delivers_then_rejects"
    MIXED = "mixed"
    WORST = "worst"


EXPLAINED = {
    Behaviour.GOOD: "issues at once; every second number by callback",
    Behaviour.SLOW: "issues, and answers after seconds",
    Behaviour.TIMES_OUT: "issues, holds the line, drops it without an answer",
    Behaviour.DRIPS: "issues, answers byte by byte past the deadline",
    Behaviour.TOO_BUSY: "answers 429 with Retry-After, issues after that",
    Behaviour.ANSWERS_FORGED: "issues, answers 200 with a false signature",
    Behaviour.ANSWERS_UNLISTED: "issues, answers a refusal for an unlisted reason",
    Behaviour.DELIVERS_PARTLY: "delivers part of several units, the rest by the desk",
    Behaviour.CALLS_BACK_TWICE: "pending; delivers each callback twice",
    Behaviour.CALLS_BACK_LATE: "pending; calls back long after it issued",
    Behaviour.CALLS_BACK_DISORDERLY: "pending; calls back the last event first",
    Behaviour.CALLS_BACK_FORGED: "pending; calls back with false signatures",
    Behaviour.LOSES_CALLBACKS: "pending; no callback arrives, not of a use either",
    Behaviour.NEVER_CALLS_BACK: "pending; calls back nothing but a use",
    Behaviour.REJECTS_THEN_DELIVERS: "pending; calls back a refusal, then that it issued",
    Behaviour.DELIVERS_THEN_REJECTS: "pending; calls back that it issued, then a refusal",
    Behaviour.MIXED: "one by the number but the last two; uses told truly",
    Behaviour.WORST: "one of all of these by the number; uses told truly",
}

# Those that decide an order later than they answer.
PENDING_FIRST = frozenset(
    {
        Behaviour.CALLS_BACK_TWICE,
        Behaviour.CALLS_BACK_LATE,
        Behaviour.CALLS_BACK_DISORDERLY,
        Behaviour.CALLS_BACK_FORGED,
        Behaviour.LOSES_CALLBACKS,
        Behaviour.NEVER_CALLS_BACK,
        Behaviour.REJECTS_THEN_DELIVERS,
        Behaviour.DELIVERS_THEN_REJECTS,
    }
)
# Those whose callbacks contradict each other: a customer sees a refusal that is none.
CONTRARY = frozenset({Behaviour.REJECTS_THEN_DELIVERS, Behaviour.DELIVERS_THEN_REJECTS})
SINGLE = tuple(each for each in Behaviour if each not in {Behaviour.MIXED, Behaviour.WORST})
MIXTURES = {
    Behaviour.MIXED: tuple(each for each in SINGLE if each not in CONTRARY),
    Behaviour.WORST: SINGLE,
}


def chosen(number: str, behaviour: Behaviour) -> Behaviour:
    """Return the behaviour for a number: the one set, or of a mixture one by its hash."""
    among = MIXTURES.get(behaviour)
    return behaviour if among is None else among[digest(number)[0] % len(among)]


def digest(number: str) -> bytes:
    """Return the bytes by which everything arbitrary about an order is chosen."""
    return hashlib.blake2b(number.encode(), digest_size=16).digest()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to come: what stood in the book `at` an instant, told when it is due.

    What it `says` instead is not so.
    """

    at: float
    due_at: float
    times: int = 1
    forged: bool = False
    says: str = ""


def decided(behaviour: Behaviour, asked_at: float, at: float, *, late_s: float) -> list[Plan]:
    """Return how a pending order's decision is called back."""
    match behaviour:
        case Behaviour.NEVER_CALLS_BACK:
            return []
        case Behaviour.CALLS_BACK_DISORDERLY:
            gap = at - asked_at  # time enough for a use to overtake both
            return [Plan(at=at, due_at=at + gap), Plan(at=asked_at, due_at=at + 2 * gap)]
        case Behaviour.REJECTS_THEN_DELIVERS:
            later = at + (at - asked_at)
            return [Plan(at=at, due_at=at, says="rejected"), Plan(at=at, due_at=later)]
        case Behaviour.DELIVERS_THEN_REJECTS:
            later = at + (at - asked_at)
            return [Plan(at=at, due_at=at), Plan(at=at, due_at=later, says="rejected")]
        case _:
            return _told(behaviour, at, late_s)


def used(behaviour: Behaviour, at: float, *, late_s: float, mixed: bool) -> list[Plan]:
    """Return how a use is called back; of a mixture so that whoever looks on sees the end."""
    late_or_never = {
        Behaviour.CALLS_BACK_LATE,
        Behaviour.CALLS_BACK_FORGED,
        Behaviour.LOSES_CALLBACKS,
    }
    truly = mixed and behaviour in late_or_never
    return _told(Behaviour.GOOD if truly else behaviour, at, late_s)


def _told(behaviour: Behaviour, at: float, late_s: float) -> list[Plan]:
    match behaviour:
        case Behaviour.LOSES_CALLBACKS:
            return []
        case Behaviour.CALLS_BACK_TWICE:
            return [Plan(at=at, due_at=at, times=2)]
        case Behaviour.CALLS_BACK_LATE:
            return [Plan(at=at, due_at=at + late_s)]
        case Behaviour.CALLS_BACK_FORGED:
            return [Plan(at=at, due_at=at, forged=True)]
        case _:
            return [Plan(at=at, due_at=at)]
