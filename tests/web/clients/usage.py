"""One claim, as a partner writes it: with the client that was generated from the document."""

import json
import os
from decimal import Decimal
from io import BytesIO

from benefits_client import AuthenticatedClient
from benefits_client.api.assets import import_assets
from benefits_client.api.claims import claim, get_claim
from benefits_client.api.events import get_events
from benefits_client.api.members import get_benefits, get_summary, lookup
from benefits_client.models import (
    BenefitsView,
    ClaimAnswer,
    ClaimRequest,
    ClaimRequestRecipient,
    ClaimWithUsesView,
    EventsView,
    ImportView,
    LookupRequest,
    LookupView,
    Problem,
    SummaryView,
    TierEvent,
    UnitsGrantedEvent,
)
from benefits_client.types import File

API, CUSTOMER = os.environ["API"], os.environ["CUSTOMER"]
LINE = f"{CUSTOMER},2025-07-01,DEPOSIT,CNY,500000.00"


def main() -> None:
    """Look the customer up, claim what there is, follow it, read the feed."""
    mobile = AuthenticatedClient(base_url=API, token=os.environ["MOBILE"])
    crm = AuthenticatedClient(base_url=API, token=os.environ["CRM"])

    found = lookup.sync(client=crm, body=LookupRequest(references=[CUSTOMER]))
    assert isinstance(found, LookupView)
    member_id = found.members[CUSTOMER]

    had = get_benefits.sync(member_id, client=mobile)
    assert isinstance(had, BenefitsView)
    offer = next(one for one in had.benefits if Decimal(one.available) >= Decimal(one.takes))

    recipient = ClaimRequestRecipient.from_dict(dict.fromkeys(offer.recipient, "13800000001"))
    wish = ClaimRequest(benefit=offer.code, quantity=1, recipient=recipient)
    placed = claim.sync(member_id, client=mobile, body=wish, idempotency_key="python-1")
    assert isinstance(placed, ClaimAnswer)
    other = ClaimRequest(benefit="NONE")
    refused = claim.sync(member_id, client=mobile, body=other, idempotency_key="python-1")
    assert isinstance(refused, Problem)

    followed = get_claim.sync(placed.id, client=mobile)
    assert isinstance(followed, ClaimWithUsesView)

    csv = File(BytesIO(f"customer,as_of,asset_class,currency,balance\n{LINE}\n".encode()))
    taken = import_assets.sync(client=crm, body=csv, idempotency_key="python-2")
    assert isinstance(taken, ImportView)

    feed = get_events.sync(client=crm, limit=100)
    assert isinstance(feed, EventsView)
    tiers = [one.data.to for one in feed.events if isinstance(one, TierEvent)]
    units = [one.data.benefit for one in feed.events if isinstance(one, UnitsGrantedEvent)]

    seen = get_summary.sync(member_id, client=crm)
    assert isinstance(seen, SummaryView)
    said = {
        "state": str(followed.state),
        "benefit": followed.benefit,
        "refused": refused.code,
        "kept": taken.kept,
        "tiers": tiers,
        "units": units,
        "open_orders": seen.open_orders,
    }
    print(json.dumps(said))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main()
