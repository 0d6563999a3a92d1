"""Bookings over real HTTP, and on the page: chosen, told, cancelled, and what became of them."""

from typing import Any

from msgspec.structs import replace

from benefits.domain.booking import Booking, LateCancel
from benefits.domain.orders import Done, Revoked
from tests.actions.life import call_back, number_of
from tests.actions.limiting import local
from tests.builders import reference_programme
from tests.web.phone import Form, Phone, form_of, platinum
from tests.web.site import Site
from tests.web.test_eligibility import get
from tests.web.test_mobile import WISH


async def booked_lounges(running: Site, **more: Any) -> None:
    """Let lounges be booked for a time in a week, to be cancelled until a day before."""
    lounge, video = reference_programme().benefit
    booking = Booking(last_days=7, free_cancel_hours=24, **more)
    await running.world.apply(
        replace(reference_programme(), benefit=(replace(lounge, booking=booking), video))
    )


async def test_a_claim_is_booked_and_cancelled(running: Site) -> None:
    """The time is within its bounds, which a refusal names; a key says the same again (V-10)."""
    await booked_lounges(running)
    member, key = await platinum(running), running.mobile_key
    _, seen = await get(running, f"/v1/members/{member}/benefits", key)
    rules = {"first_days": 0, "last_days": 7, "free_cancel_hours": 24, "late_cancel": "REFUSE"}
    assert [rules, None] == [each["booking"] for each in seen["benefits"]]
    path, wish = f"/v1/members/{member}/claims", {**WISH, "benefit": "LOUNGE"}
    for wrong in ({}, {"booked_for": "2025-07-10T00:00:00+08:00"}):
        status, refusal = await running.post(path, wish | wrong, key)
        assert (422, "booking_time") == (status, refusal["code"])
    assert "and before 2025-07-09T16:00:00+00:00." in refusal["detail"]
    status, _ = await running.post(path, wish | {"booked_for": "2025-07-05T10:00:00"}, key)
    assert 400 == status
    later = {"booked_for": "2025-07-05T10:00:00+08:00"}
    status, placed = await running.post(path, wish | later, key)
    assert 201 == status
    _, claim = await get(running, f"/v1/claims/{placed['id']}", key)
    times = ("booked_for", "cancel_until", "cancelled_at")
    assert ["2025-07-05T02:00:00Z", "2025-07-04T02:00:00Z", None] == [claim[t] for t in times]
    status, answer = await running.post(f"/v1/claims/{placed['id']}/cancellation", None, key)
    assert (201, placed["id"]) == (status, answer["id"])
    _, claim = await get(running, f"/v1/claims/{placed['id']}", key)
    assert ("REVOKED", "cancelled") == (claim["state"], claim["reason"])


async def test_the_page_books_and_cancels(running: Site, phone: Phone) -> None:
    """It tells the times, until when it is free, what a cancellation does, and what came of it."""
    await booked_lounges(running, late_cancel=LateCancel.CAPTURE)
    member = await platinum(running)
    await phone.enter(member)
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert 'min="2025-07-02T12:01" max="2025-07-09T23:59"' in html
    assert "You can cancel it free of charge until 24 hours before." in html
    form = form_of(html, "LOUNGE")
    for wrong in ("", "tomorrow", "2025-07-10T00:00"):
        status, html = await phone.post(
            "/page/claims/review?lang=en", form | {"booked_for": wrong}
        )
        assert (422, True) == (status, "Please choose one of the times" in html)
    status, html = await phone.post(
        "/page/claims/review?lang=zh", form | {"booked_for": "2025-07-05T10:00"}
    )
    assert (200, True) == (status, "<dt>预约时间</dt><dd>2025年7月5日" in html)
    await phone.send(form_of(html, "LOUNGE"))
    ((claim_id,),) = await running.world.rows("SELECT claim_id FROM claim")
    number = await number_of(running.world, claim_id)
    await call_back(running.world, number, Done(at=running.world.clock.now))
    path = f"/page/claims/{claim_id}"
    _, html = await phone.get(f"{path}?lang=en")
    assert "It is booked for 5 July 2025 10:00." in html.replace("\u202f", " ")
    assert "Your unit comes back as soon as the provider" in html
    running.world.clock.now = local(2025, 7, 4, 10)
    await phone.enter(member)
    _, html = await phone.get(f"{path}?lang=zh")
    assert "现在取消将视为已使用。" in html
    (form,) = (each for each in Form(html).forms if {"token", "key"} == each.keys())
    for _ in range(2):  # a double tap
        status, html = await phone.post(f"{path}/cancel?lang=en", form)
        assert 200 == status
    assert "You have cancelled it; we are waiting for the provider." in html
    assert "Cancel this booking" not in html
    running.world.clock.forward(seconds=1)
    await call_back(running.world, number, Revoked(at=running.world.clock.now))
    _, html = await phone.get(f"{path}?lang=en&refused=not_cancellable")
    for words in ("Cancelled", "You cancelled it late, so it counts as used.", "any more."):
        assert words in html
    _, html = await phone.get("/page/history?lang=en")
    assert "Cancelled by you" in html
