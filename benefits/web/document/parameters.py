"""What each parameter of an operation is, by its name, and what its type alone does not say."""

from typing import Any

from benefits.domain.events import EVENTS

Json = dict[str, Any]
TIME: Json = {
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,15}(Z|[+-][0-9]{2}:[0-9]{2}))?$",
    "maxLength": 40,
}
FILTERS = sorted({*EVENTS, *(kind.partition(".")[0] + "." for kind in EVENTS)})
NO_SLASH = "^[^/]+$"
PARAMETERS: dict[str, Json] = {
    "Idempotency-Key": {
        "description": "1 to 64 printable ASCII characters, the same for every try.",
        "schema": {"minLength": 1, "maxLength": 64, "pattern": "^[ -~]{1,64}$"},
    },
    "member_id": {"description": "The member's id, from `POST /v1/members:lookup`."},
    "claim_id": {"description": "The claim's id."},
    "wait_id": {"description": "The waiting claim's id."},
    "redemption_id": {"description": "The redemption's id, as the claim names it."},
    "case_id": {"description": "The case's id."},
    "decision_id": {"description": "The decision's id."},
    "correction_id": {"description": "The correction's id."},
    "fill_id": {"description": "The fill's id."},
    "proposal_id": {"description": "The proposal's id."},
    "state": {"description": "Only those in this state."},
    "job_id": {"description": "The job's id, from `POST /v1/grants:bulk`."},
    "source": {"description": "The bank's system, as the programme's `feeds` name it."},
    "day": {"description": "The day at whose end the balances stood."},
    "revision": {
        "description": "0 at first; the highest that is sealed counts. Below 0, of balances: a "
        "file that two people may fill the day with (`POST /v1/fills`)."
    },
    "version": {"description": "The version of the label platform's list, by its own name."},
    "chunk": {"description": "The chunk's number, from 1 on."},
    "month": {"description": "A month like `2025-06`: only its days, or the one measured."},
    "baseline": {"description": "The name under which the baseline was frozen."},
    "steps": {
        "description": "Amounts of growth in major units, ascending: `100000,200000`.",
        "schema": {"pattern": r"^([0-9]{1,15}(\.[0-9]{1,4})?(,|$)){0,20}$"},
    },
    "follow_corrections": {"description": "Read the baseline's month as it is known now."},
    "everybody": {"description": "Also who can reach no step."},
    "outcome": {"description": "Only rows that ended so."},
    "provider": {
        "description": "The provider's code in the programme.",
        "schema": {"minLength": 1, "pattern": NO_SLASH},
    },
    "outlook": {"description": "What is seen ahead."},
    "sku": {"description": "An SKU of the provider's; as a filter, only those of it."},
    "batch": {"description": "What was bought together, by a name of the bank's own."},
    "older_than_s": {"description": "Only those that are at least so many seconds old."},
    "number": {
        "description": "The order's number: 32 hexadecimal digits.",
        "schema": {"pattern": "^[0-9a-f]{32}$"},
    },
    "cursor": {
        "description": "Where to go on: the `next` of the page before; absent for the beginning.",
        "schema": {"minLength": 1, "maxLength": 400},
    },
    "limit": {"description": "How many at most."},
    "types": {
        "description": "Only these types: exactly, or by their beginning with the dot (`tier.`). "
        "Repeat it for several.",
        "schema": {
            "items": {"type": "string", "enum": FILTERS},
            "minItems": 1,
            "maxItems": 20,
        },
    },
    "as_of": {
        "description": "When: a day (its end in the programme's zone) or an instant with its "
        "offset. Facts from before it count, and lots whose end is not later have expired. "
        "Absent: now.",
        "schema": TIME,
    },
    "known_at": {
        "description": "As it was known then: only what was recorded before it counts. Absent: "
        "as it is known now.",
        "schema": TIME,
    },
    "from": {"description": "Only facts that were not true before it.", "schema": TIME},
    "to": {"description": "Only facts that were true before it.", "schema": TIME},
    "by": {"description": "What figures are added up by."},
    "expected_use": {
        "description": "The share of outstanding units that is expected to be used, 0 to 1; "
        "absent: as observed of ended lots, 1 where none has ended.",
    },
    "format": {
        "description": "`csv` or `json`; absent: CSV where `Accept` names `text/csv`.",
    },
    "benefit": {
        "description": "The benefit's code.",
        "schema": {"minLength": 1, "maxLength": 64},
    },
    "code": {
        "description": "The benefit's code.",
        "schema": {"minLength": 1, "maxLength": 64, "pattern": NO_SLASH},
    },
    "name": {
        "description": "The whitelist's name, which is its members' label of layer LIST.",
    },
    "channel": {
        "description": "By which the claim would come; absent: it is not known, and a rule that "
        "asks for one lets nobody in.",
    },
    "kind": {"description": "Only those of this kind."},
    "closed": {"description": "Closed cases instead of open ones."},
    "anyway": {"description": "`true`: also where the provider asked not to be called yet."},
    "whole": {
        "description": "`true`: it is asked about through its provider's whole schedule again."
    },
    "again": {
        "description": "Why a code that was shown before is to be shown again: `NOT_ARRIVED`, the "
        "member did not get to see it; `NEEDED_AGAIN`."
    },
    "dry_run": {
        "description": "`true`: the answer this request would get now, and nothing is written, "
        "not under its key either. Ids in the answer are of things that do not exist.",
    },
    "programme": {"description": "The programme's code; needed when there are several."},
}
WEBHOOK_HEADERS: list[Json] = [
    {
        "name": name,
        "in": "header",
        "required": True,
        "description": words,
        "schema": {"type": "string", "minLength": 1},
        "example": example,
    }
    for name, words, example in (
        ("webhook-id", "The callback's own id; the same for every try.", "evt-20250702-0001"),
        ("webhook-timestamp", "Unix seconds of this try; at most 5 minutes off.", "1751428983"),
        (
            "webhook-signature",
            "Standard Webhooks v1 over `{id}.{timestamp}.{body}`.",
            "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        ),
    )
]
