"""What the values of fields are, where a wire type alone does not say it."""

from typing import Any

from benefits.domain.callbacks import Verdict
from benefits.domain.events import EVENTS, REASONS
from benefits.domain.feeds import FeedState
from benefits.domain.jobs import Ending
from benefits.domain.orders import Operation as Asked
from benefits.domain.orders import OrderState
from benefits.domain.waits import Ahead, Reason
from benefits.web import events

_STATES = sorted(state.value for state in OrderState)
_COUNT: dict[str, Any] = {"minimum": 0}
_NUMBER = {"pattern": "^[0-9a-f]{32}$"}
_SNAPSHOT = {
    "snapshot": {"minimum": 1},
    "members": _COUNT,
    "sha256": {"pattern": "^[0-9a-f]{64}$"},
}
_CLAIM: dict[str, Any] = {
    "quantity": {"minimum": 1},
    "state": {"enum": _STATES},
    "reason": {"enum": sorted(REASONS)},
    "used": _COUNT,
}
_AHEAD = {"enum": [one.value for one in Ahead]}
_WAIT: dict[str, Any] = {
    "quantity": {"minimum": 1},
    "ahead": _AHEAD,
    "reason": {"anyOf": [{"enum": [one.value for one in Reason]}, {"type": "null"}]},
}
_VERDICT = {"anyOf": [{"enum": [one.value for one in Verdict]}, {"type": "null"}]}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "AttemptView": {"operation": {"enum": sorted(one.value for one in Asked)}},
    "BenefitView": {"available": _COUNT, "held": _COUNT},
    "BookingView": {
        "first_days": _COUNT,
        "last_days": _COUNT,
        "free_cancel_hours": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
    },
    "CallbackAgainView": {"was": _VERDICT, "now": _VERDICT},
    "CallbacksAgainView": {"settled": _COUNT},
    "CancellationAnswer": {"id": {"format": "uuid"}},
    "CodesTakenView": {"kept": _COUNT, "unchanged": _COUNT},
    "CodeRefusedView": {"number": {"minimum": 1}},
    "ClaimAnswer": {"id": {"format": "uuid"}},
    "WaitAnswer": {"id": {"format": "uuid"}, "ahead": _AHEAD},
    "StoppedAnswer": {"id": {"format": "uuid"}},
    "WaitView": _WAIT,
    "OpenWaitView": _WAIT,
    "ClaimRequest": {
        "benefit": {"minLength": 1, "description": "A benefit's code, like `LOUNGE`."},
        "quantity": {"minimum": 1, "maximum": 100},
        "booked_for": {"description": "Where the benefit is booked: for when, with its zone."},
        "wait": {
            "description": "Whether the claim waits where nothing is missing but room; no unless "
            "said."
        },
        "companions": {
            "minimum": 0,
            "maximum": 99,
            "description": "How many people come along with each piece, as the tier brings; 0 "
            "unless said. The claim's quantity counts their pieces, too.",
        },
        "recipient": {
            "maxProperties": 20,
            "description": "Just the fields that the benefit's `recipient` names; to the provider "
            "only, never shown again.",
        },
    },
    "ClaimView": _CLAIM,
    "ClaimWithUsesView": _CLAIM,
    "CorrectionRequest": {
        "quantity": {"minimum": 0, "maximum": 10_000},
        "valid_days": {
            "anyOf": [{"type": "integer", "minimum": 7, "maximum": 3660}, {"type": "null"}]
        },
    },
    "CorrectionView": {"hash": {"pattern": "^[0-9a-f]{64}$"}},
    "EffectView": {
        "earlier": _COUNT,
        "order_state": {"anyOf": [{"enum": _STATES}, {"type": "null"}]},
    },
    "PopulationView": {"count": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}},
    "ChunkView": {"number": {"minimum": 1}, "lines": _COUNT, "bad_lines": _COUNT},
    "FeedView": dict.fromkeys(("chunks", "lines", "bad_lines"), _COUNT)
    | {
        "state": {"enum": [one.value for one in FeedState]},
        "applied": {"minimum": 0, "maximum": 1},
    },
    "LabelFeedView": dict.fromkeys(
        ("chunks", "lines", "bad_lines", "kept", "unchanged", "left_out"), _COUNT
    )
    | {
        "state": {"enum": [one.value for one in FeedState]},
        "applied": {"minimum": 0, "maximum": 1},
    },
    "FillView": {"lines": _COUNT, "hash": {"pattern": "^[0-9a-f]{64}$"}},
    "FiguresView": dict.fromkeys(("available", "held", "owed"), _COUNT),
    "PostingView": {"amount": {"minimum": 1}},
    "EventView": {"sequence": {"minimum": 1}, "type": {"enum": sorted(EVENTS)}},
    "EventsView": {
        "events": {
            "items": {
                "oneOf": [
                    {"$ref": f"#/components/schemas/{view.__name__}"}
                    for view in events.VIEWS.values()
                ]
            }
        },
        "next": {"minLength": 1},
    },
    "HoldingView": {"available": _COUNT, "held": _COUNT, "expiring_30_days": _COUNT},
    "ImportView": dict.fromkeys(("lines", "kept", "unchanged", "refused"), _COUNT),
    "JobRowView": {
        "line": {"minimum": 1},
        "outcome": {"enum": [one.value for one in Ending]},
        "code": {
            "description": "A problem code: of a single reward, `line_invalid`, `busy` after ten "
            "tries, or `row_failed`."
        },
    },
    "JobView": dict.fromkeys(("lines", "granted", "known", "refused", "lines_per_s"), _COUNT)
    | {"state": {"enum": ["running", "done"]}},
    "LookupRequest": {
        "references": {"description": "The bank's own names of customers; each at most once."}
    },
    "LotView": {"available": _COUNT, "held": _COUNT},
    "SnapshotView": _SNAPSHOT,
    "WhitelistView": _SNAPSHOT,
    "OrderMoved": {"reason": {"enum": sorted(REASONS)}},
    "OrderView": {"number": _NUMBER, "state": {"enum": _STATES}, "quantity": {"minimum": 1}},
    "Problem": {
        "type": {"format": "uri"},
        "status": {"minimum": 400, "maximum": 599},
        "code": {"pattern": "^[a-z_]+$"},
    },
    "ProgressView": {"month": {"pattern": "^[0-9]{4}-[0-9]{2}$"}},
    "RewardRequest": {
        "benefit": {"minLength": 1},
        "quantity": {"minimum": 1, "maximum": 100},
        "valid_days": {"minimum": 1, "maximum": 3660},
    },
    "RewardView": {"granted": _COUNT},
    "TierDecided": {"month": {"pattern": "^[0-9]{4}-[0-9]{2}$"}, "misses": _COUNT},
    "TierView": {"rank": _COUNT},
}
