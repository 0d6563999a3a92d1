"""What each operation promises beyond its types: what it is for, and every code it may answer.

`document.py` makes the API's document from this, the wire types and the handlers. The codes that
every operation of a kind may answer are added there. Examples lie in `examples.json`.
"""

import msgspec

from benefits.web import (
    agreements,
    choices,
    claims,
    coming,
    corrections,
    crm,
    eligibility,
    events,
    feeds,
    fills,
    growth,
    health,
    jobs,
    label_feeds,
    mobile,
    operating,
    operator,
    past,
    problems,
    programmes,
    proposal_views,
    proposals,
    redemptions,
    reports,
    rereads,
    standings,
    stock,
    summary,
    waits,
    whitelists,
)
from benefits.web.page import views

TAGS = {
    "members": "Who a customer is here, what they have, how it came.",
    "claims": "A member takes units; an order goes to the provider.",
    "rewards": "The CRM gives units, once per business key: to one member, or to a million.",
    "assets": "Day-end balances, from which tiers follow.",
    "feeds": "Balances of a source's day, and labels: they count when they match their manifest.",
    "events": "What happens to all members, by a cursor that skips nothing.",
    "ledger": "The books as of any time, for one member or the whole bank; closed months.",
    "page": "The benefits page (财富权益), opened by the bank's backend.",
    "cases": "What waits for a person.",
    "corrections": "Postings by hand: one person proposes, another approves.",
    "programmes": "Which rules are in force, and by whose word.",
    "proposals": "Rules, blocks, ends of orders, fraud: one person proposes, another approves.",
    "providers": "Who fulfils: how they stand, and the orders that wait for them.",
    "callbacks": "Providers tell what became of orders.",
    "operations": "Is the service there, and can it work.",
}

# The wire types of requests and answers; what they hold comes along.
WIRE: tuple[type, ...] = (
    agreements.ApproveRequest,
    agreements.RejectRequest,
    *redemptions.TYPES,
    *operating.TYPES,
    *rereads.TYPES,
    choices.ChoiceAnswer,
    choices.ChoiceRequest,
    choices.ChoicesView,
    corrections.CorrectionRequest,
    corrections.CorrectionsView,
    crm.ImportView,
    crm.LookupRequest,
    crm.LookupView,
    crm.MergeRequest,
    crm.MergeView,
    crm.RewardRequest,
    crm.RewardView,
    eligibility.ConsentRequest,
    eligibility.ConsentView,
    eligibility.ConsentsView,
    eligibility.EligibilityView,
    eligibility.PopulationView,
    events.EventsView,
    *events.VIEWS.values(),
    feeds.ChunkView,
    feeds.FeedView,
    feeds.FeedsView,
    feeds.MissingDaysView,
    feeds.SealRequest,
    *label_feeds.TYPES,
    fills.FillRequest,
    fills.FillsView,
    health.HealthView,
    health.ReadyView,
    jobs.BulkView,
    jobs.JobRowsView,
    jobs.JobView,
    claims.CancellationAnswer,
    claims.ClaimAnswer,
    claims.ClaimRequest,
    claims.CodeView,
    claims.PieceView,
    claims.WaitAnswer,
    *waits.TYPES,
    coming.ComingView,
    mobile.BenefitsView,
    mobile.HistoryView,
    operator.CasesView,
    operator.CloseCaseRequest,
    operator.OrderView,
    past.BalancesView,
    past.PastLotsView,
    past.StatementView,
    standings.TierStandingsView,
    standings.TierDecisionsView,
    standings.TierDecisionAgainView,
    standings.OutlookView,
    growth.GrowthView,
    reports.LiabilityView,
    reports.MonthsView,
    reports.TotalsView,
    reports.VintagesView,
    reports.CostsView,
    views.PageSessionRequest,
    views.PageSessionView,
    stock.BatchView,
    stock.CodeRefusedView,
    stock.CodesRequest,
    stock.CodesTakenView,
    stock.CodeRequest,
    stock.SkuStockView,
    stock.StockView,
    whitelists.SnapshotView,
    whitelists.WhitelistRequest,
    whitelists.WhitelistView,
    problems.Problem,
    programmes.ProgrammesView,
    programmes.VersionsView,
    proposal_views.ProposalsView,
    proposals.BlockRequest,
    proposals.CombinationRequest,
    proposals.FraudRequest,
    proposals.OrderAnswerRequest,
    proposals.ProposalRequest,
    proposals.UnblockRequest,
    proposals.VersionRequest,
    summary.SummaryView,
)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation is for, and the problem codes of its own."""

    summary: str
    codes: tuple[str, ...] = ()


_KEY = ("idempotency_key_invalid",)
_WRITE = (*_KEY, "idempotency_key_conflict")
_USE = (*_WRITE, "unknown_claim", "redemption_open")
_DECIDE = (*_WRITE, "unknown_correction", "correction_closed")
_DECIDE_FILL = (*_WRITE, "unknown_fill", "fill_closed")
_DECIDE_PROPOSAL = (*_WRITE, "unknown_proposal", "proposal_closed")
OPERATIONS: dict[str, Operation] = {
    "approve_correction": Operation(
        summary="Approve a correction", codes=(*_DECIDE, "correction_stale", "same_person")
    ),
    "approve_fill": Operation(
        summary="Approve a fill", codes=(*_DECIDE_FILL, "fill_stale", "same_person")
    ),
    "approve_proposal": Operation(
        summary="Approve a proposal",
        codes=(
            *_DECIDE_PROPOSAL,
            "proposal_stale",
            "same_person",
            "notice_missing",
            "compliance_forbidden",
            "compliance_unapproved",
        ),
    ),
    "choose": Operation(
        summary="Choose a benefit for a unit",
        codes=(
            *_WRITE,
            "unknown_member",
            "unknown_choice",
            "choice_not_offered",
            "member_closed",
            "blocked",
            "contract_ended",
            "claim_window",
            "choice_repeated",
            "insufficient_units",
            "expired",
        ),
    ),
    "get_choices": Operation(
        summary="What a member may choose, and what they chose", codes=("unknown_member",)
    ),
    "claim": Operation(
        summary="Claim units of a benefit",
        codes=(
            *_WRITE,
            "unknown_member",
            "unknown_benefit",
            "member_closed",
            "blocked",
            "contract_ended",
            "claim_window",
            "consent_required",
            "not_eligible",
            "guest_limit",
            "quantity_invalid",
            "recipient_incomplete",
            "booking_time",
            "excluded",
            "cap_reached",
            "already_waiting",
            "stock_exhausted",
            "budget_exhausted",
            "insufficient_units",
            "expired",
        ),
    ),
    "stop_waiting": Operation(
        summary="Wait no longer", codes=(*_WRITE, "unknown_member", "unknown_wait", "wait_over")
    ),
    "cancel_claim": Operation(
        summary="Give a booking up",
        codes=(*_USE, "not_cancellable", "cancellation_open", "cancelled_too_late"),
    ),
    "redeem": Operation(
        summary="Tell the provider that a claim is used",
        codes=(*_USE, "redeemed_elsewhere", "order_not_usable", "payment_missing"),
    ),
    "reverse_redemption": Operation(
        summary="Undo a use",
        codes=(*_USE, "unknown_redemption", "not_reversible", "redemption_not_final"),
    ),
    "close_case": Operation(
        summary="Close a case", codes=(*_WRITE, "unknown_case", "case_closed")
    ),
    "get_balances": Operation(
        summary="A member's balances as of a time",
        codes=("unknown_member", "time_invalid", "month_archived"),
    ),
    "get_liability": Operation(
        summary="Outstanding units and what they cost",
        codes=("time_invalid", "month_archived", "cursor_invalid"),
    ),
    "get_decisions": Operation(
        summary="What was decided about a member's tiers, and why",
        codes=("unknown_member", "time_invalid", "cursor_invalid"),
    ),
    "get_decision": Operation(
        summary="A decision about a tier, decided again from what was known then",
        codes=("unknown_decision",),
    ),
    "get_standing": Operation(
        summary="A member's tiers as of a time, and why",
        codes=("unknown_member", "time_invalid"),
    ),
    "get_outlook": Operation(
        summary="Whose tier is at risk, or who is near a higher one",
        codes=("unknown_programme", "cursor_invalid"),
    ),
    "get_growth": Operation(
        summary="By how much members' averages grew over a baseline",
        codes=(
            *("unknown_programme", "unknown_baseline", "baseline_invalid", "month_not_over"),
            *("steps_invalid", "cursor_invalid"),
        ),
    ),
    "get_costs": Operation(
        summary="What a month cost, by cost centre and line",
        codes=("month_archived", "cursor_invalid"),
    ),
    "get_lots": Operation(
        summary="A member's lots as of a time",
        codes=("unknown_member", "time_invalid", "month_archived", "cursor_invalid"),
    ),
    "get_months": Operation(summary="Closed months of the books", codes=("cursor_invalid",)),
    "get_statement": Operation(
        summary="What was booked for a member",
        codes=("unknown_member", "time_invalid", "cursor_invalid"),
    ),
    "get_totals": Operation(
        summary="Balances of all accounts",
        codes=("time_invalid", "month_archived", "cursor_invalid"),
    ),
    "get_vintages": Operation(
        summary="Units by benefit and month of grant",
        codes=("time_invalid", "month_archived", "cursor_invalid"),
    ),
    "get_benefits": Operation(summary="All that a member has", codes=("unknown_member",)),
    "get_cases": Operation(summary="Cases, the longest waiting first", codes=("cursor_invalid",)),
    "get_claim": Operation(summary="A claim and where its order stands", codes=("not_found",)),
    "get_correction": Operation(summary="A correction", codes=("unknown_correction",)),
    "get_corrections": Operation(
        summary="Corrections, the oldest first", codes=("cursor_invalid",)
    ),
    "get_consents": Operation(summary="What a member agreed to", codes=("unknown_member",)),
    "get_eligibility": Operation(
        summary="Why a member may claim a benefit, or may not",
        codes=("unknown_member", "unknown_benefit"),
    ),
    "get_population": Operation(
        summary="Whom a benefit's rule lets in", codes=("unknown_benefit", "cursor_invalid")
    ),
    "say_consent": Operation(
        summary="Agree to a purpose, or withdraw it",
        codes=(*_WRITE, "unknown_member", "consent_unknown"),
    ),
    "get_events": Operation(
        summary="What happened to all members",
        codes=("cursor_invalid", "cursor_lost", "events_unordered"),
    ),
    "get_feed": Operation(summary="How a feed stands", codes=("feed_unknown",)),
    "get_feeds": Operation(summary="Feeds, the earliest day first", codes=("cursor_invalid",)),
    "get_label_feed": Operation(summary="How a label feed stands", codes=("feed_unknown",)),
    "get_label_feeds": Operation(
        summary="Label feeds, by version and revision", codes=("cursor_invalid",)
    ),
    "get_fill": Operation(summary="A fill", codes=("unknown_fill",)),
    "get_fills": Operation(summary="Fills, the oldest first", codes=("cursor_invalid",)),
    "get_missing_days": Operation(summary="Days that are not sealed"),
    "get_history": Operation(
        summary="What happened to a member", codes=("unknown_member", "cursor_invalid")
    ),
    "get_job": Operation(summary="How a job stands", codes=("unknown_job",)),
    "get_job_rows": Operation(
        summary="What became of a job's rows", codes=("unknown_job", "cursor_invalid")
    ),
    "get_orders": Operation(
        summary="Orders that are not decided, oldest first", codes=("cursor_invalid",)
    ),
    "get_order_tried": Operation(
        summary="An order with the calls about it", codes=("unknown_order",)
    ),
    "get_providers": Operation(summary="How providers stand, and what waits for them"),
    "pause_provider": Operation(
        summary="Pause a provider or a SKU", codes=(*_WRITE, "unknown_provider", "pause_invalid")
    ),
    "resume_provider": Operation(
        summary="Let a provider or a SKU go again", codes=(*_WRITE, "unknown_provider")
    ),
    "reread_callbacks": Operation(
        summary="Read callbacks again that came to nothing",
        codes=(*_WRITE, "unknown_provider", "cursor_invalid"),
    ),
    "retry_order": Operation(
        summary="Try an order now",
        codes=(*_WRITE, "unknown_order", "order_in_flight", "order_ended", "provider_waits"),
    ),
    "get_order": Operation(summary="An order by its number", codes=("not_found",)),
    "get_programmes": Operation(summary="Programmes in force"),
    "get_proposal": Operation(summary="A proposal", codes=("unknown_proposal",)),
    "get_proposals": Operation(summary="Proposals, the oldest first", codes=("cursor_invalid",)),
    "get_summary": Operation(summary="A member at a glance", codes=("unknown_member",)),
    "get_versions": Operation(summary="Versions of a programme", codes=("unknown_version",)),
    "grant_bulk": Operation(
        summary="Reward a list of members",
        codes=(*_WRITE, "file_unreadable", "list_too_long"),
    ),
    "health": Operation(summary="The process lives"),
    "import_assets": Operation(
        summary="Send day-end balances",
        codes=(*_WRITE, "unknown_programme", "file_unreadable", "body_too_large"),
    ),
    "lookup": Operation(summary="Member ids of customer references"),
    "merge": Operation(
        summary="Merge two customers who are one person",
        codes=(
            *_WRITE,
            "unknown_member",
            "merged_into_itself",
            "merged_elsewhere",
            "merged_away",
            "merger_ended",
        ),
    ),
    "open_page": Operation(summary="Open the benefits page", codes=(*_KEY, "unknown_member")),
    "open_feed": Operation(
        summary="Open a feed", codes=("unknown_programme", "feed_not_named", "feed_date_invalid")
    ),
    "open_label_feed": Operation(summary="Open a label feed", codes=("not_found",)),
    "propose_correction": Operation(
        summary="Propose a correction",
        codes=(
            *_WRITE,
            "unknown_member",
            "unknown_benefit",
            "target_unknown",
            "member_closed",
            "contract_ended",
            "correction_invalid",
            "correction_exceeds",
            "order_unfit",
            "quantity_too_fine",
            "units_drawn",
            "month_archived",
        ),
    ),
    "propose": Operation(
        summary="Propose a version, an approval, a block, an order's end or fraud",
        codes=(
            *_WRITE,
            "proposal_invalid",
            "programme_invalid",
            "block_invalid",
            "unknown_block",
            "unknown_member",
            "unknown_order",
            "order_unfit",
        ),
    ),
    "propose_fill": Operation(
        summary="Propose to fill a missing day",
        codes=(
            *_WRITE,
            "feed_not_named",
            "feed_date_invalid",
            "fill_invalid",
            "fill_too_early",
            "day_not_missing",
            "nothing_to_carry",
        ),
    ),
    "put_chunk": Operation(
        summary="Send a chunk of a feed",
        codes=("feed_unknown", "feed_closed", "chunk_conflict", "file_unreadable"),
    ),
    "put_label_chunk": Operation(
        summary="Send a chunk of a label feed",
        codes=("feed_unknown", "feed_closed", "chunk_conflict", "file_unreadable"),
    ),
    "get_stock": Operation(summary="A provider's codes in stock", codes=("unknown_stock",)),
    "put_codes": Operation(
        summary="Bring codes into stock",
        codes=("unknown_stock", "file_unreadable", "body_too_large"),
    ),
    "put_whitelist": Operation(
        summary="Send a whole whitelist", codes=("whitelist_invalid", "body_too_large")
    ),
    "get_waits": Operation(
        summary="Claims of a member that wait for room", codes=("unknown_member", "cursor_invalid")
    ),
    "get_open_waits": Operation(
        summary="Claims that wait for room, the longest waiting first", codes=("cursor_invalid",)
    ),
    "get_whitelist": Operation(
        summary="The last snapshot of a whitelist", codes=("unknown_whitelist",)
    ),
    "ready": Operation(summary="The service can do its work"),
    "read_code": Operation(
        summary="A delivered claim's code", codes=("not_found", "code_absent", "code_shown")
    ),
    "receive_callback": Operation(
        summary="A provider calls back",
        codes=(
            "callback_refused",
            "signature_refused",
            "rate_limited",
            "not_found",
            "body_too_large",
        ),
    ),
    "reject_correction": Operation(summary="Reject or withdraw a correction", codes=_DECIDE),
    "reject_fill": Operation(summary="Reject or withdraw a fill", codes=_DECIDE_FILL),
    "reject_proposal": Operation(summary="Reject or withdraw a proposal", codes=_DECIDE_PROPOSAL),
    "seal_feed": Operation(
        summary="Seal a feed by its manifest",
        codes=("feed_unknown", "feed_refused", "manifest_conflict", "manifest_invalid"),
    ),
    "seal_label_feed": Operation(
        summary="Seal a label feed by its manifest",
        codes=("feed_unknown", "feed_refused", "manifest_conflict"),
    ),
    "reward": Operation(
        summary="Reward a member",
        codes=(
            *_WRITE,
            "unknown_member",
            "unknown_benefit",
            "member_closed",
            "contract_ended",
            "quantity_invalid",
            "quantity_too_fine",
            "units_drawn",
            "valid_days_invalid",
            "blocked",
            "trigger_undeclared",
            "compliance_forbidden",
        ),
    ),
}
