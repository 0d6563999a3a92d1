"""What is written as TOML is read back as it was, and a programme's file is the programme."""

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import toml
from benefits.domain.benefit import Benefit, ClawBack, Kind, Late, LateReversal, Settled
from benefits.domain.booking import Booking, IfEnded, LateCancel
from benefits.domain.carry import Carry
from benefits.domain.choice import Choice
from benefits.domain.code_pool import CodePool
from benefits.domain.compliance import Nature, Preset, Trigger
from benefits.domain.eligibility import read_rule
from benefits.domain.labels import LabelAsked, Layer
from benefits.domain.lattice import Unused
from benefits.domain.limits import Cap, CapWindow, Limit, Scope
from benefits.domain.orders import Capabilities, Rate
from benefits.domain.packages import Claiming, Line, LinePeriod, Start
from benefits.domain.prices import Price, PricedAt
from benefits.domain.programme import Dialect, Programme
from benefits.domain.programme_file import read, write
from benefits.domain.recurring import Missing, Recurring, Weekday
from benefits.domain.stacking import Stacking
from benefits.domain.use import Length, Use
from benefits.domain.wechat import CodeMode, Wechat
from benefits.domain.welcome import Welcome
from tests.builders import reference_programme
from tests.tidy.sources import ROOT

PRESETS = sorted((ROOT / "benefits" / "presets").glob("*.toml"))
EXAMPLES = sorted((ROOT / "benefits" / "examples").glob("*.toml"))
FILES = [*PRESETS, *EXAMPLES, ROOT / "tests" / "programme.toml"]

scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(keys, values, max_size=6))
def test_what_is_written_is_read_back(table: dict[str, Any]) -> None:
    """Any keys and strings, nested tables and lists of them, in whatever order."""
    assert table == tomllib.loads(toml.write(table))


def test_what_is_none_is_left_out_and_what_is_unknown_refused() -> None:
    """TOML has no word for nothing; what it has no form for is a mistake."""
    assert "a = 1\n" == toml.write({"a": 1, "b": None})
    with pytest.raises(TypeError, match="Decimal"):
        toml.write({"a": Decimal(1)})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_programme_is_exported_as_it_is(path: Path) -> None:
    """Every preset, example and the reference: the same document, and the same file again."""
    made = read(path.read_text(encoding="utf-8"))
    text = write(made)
    assert encoded(made) == encoded(read(text))
    assert text == write(read(text))


def encoded(programme: Programme) -> bytes:
    """Return a programme as it is stored."""
    return msgspec.json.encode(programme, order="deterministic")


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: text.isprintable() and "权" not in text
)
amounts = st.decimals(0, 10_000, places=2)
quantities = st.integers(1, 20) | st.sampled_from([Decimal("0.5"), Decimal("1.5")])


stackings = st.just(Stacking()) | st.builds(Stacking, cap=quantities)
carries = st.none() | st.builds(Carry, periods=st.integers(1, 12), cap=st.integers(20, 99))
occurrences = st.builds(
    Line,
    code=st.just("day"),
    benefit=st.just("LOUNGE"),
    period=st.just(LinePeriod.OCCURRENCE),
    quota=st.just({"GOLD": 1}),
    start=st.just(Start.PERIOD),
    on=st.just(Recurring(last_day=True))
    | st.builds(Recurring, weekday=st.sampled_from(Weekday), nth=st.sampled_from([2, -1])),
)
days_31 = st.sampled_from(Missing).map(
    lambda missing: Line(
        code="day",
        benefit="LOUNGE",
        period=LinePeriod.OCCURRENCE,
        quota={"GOLD": 1},
        start=Start.PERIOD,
        on=Recurring(day=31),
        missing=missing,
    )
)
of_segments: dict[str, Any] = {
    "code": st.from_regex(r"\A[a-z]{1,9}\Z"),
    "scope": st.just(Scope.SEGMENT),
    "limit": st.integers(0, 9).map(Decimal),
    "segment": st.builds(
        LabelAsked,
        label=st.from_regex(r"\A[a-z]( ?[a-z]){0,9}\Z"),
        layer=st.sampled_from([Layer.FACT, Layer.RULE, Layer.LIST]),
    ),
}
limits = st.lists(
    st.builds(Limit, window=st.sampled_from(CapWindow), **of_segments)
    | st.builds(
        Limit, on=st.just(Recurring(day=31)), missing=st.sampled_from(Missing), **of_segments
    ),
    max_size=2,
    unique_by=lambda limit: limit.code,
).map(tuple)


def choices(name: dict[str, str]) -> st.SearchStrategy[Choice]:
    """Return choices of two of the benefits; units of these are whole."""
    both = st.permutations(["LOUNGE", "VIDEO"]).map(tuple)
    return st.builds(
        Choice, code=st.just("PICK"), name=st.just(name), benefits=both, repeat=st.booleans()
    )


welcomes = st.none() | st.builds(
    Welcome, tier=st.sampled_from(["GOLD", "PRIVATE"]), months=st.integers(1, 24)
)
uses = st.none() | st.builds(
    Use,
    days=st.integers(1, 3660),
    length=st.sampled_from(Length),
    until=st.none() | st.dates(date(2025, 6, 1), date(2026, 1, 1)),
    late_days=st.integers(0, 366),
)


sandbox = reference_programme().provider[0]
limited = st.floats(0.01, 10_000).map(
    lambda rate: msgspec.structs.replace(
        sandbox, capabilities=Capabilities(rate=Rate(per_second=rate, burst=9))
    )
)
providers = limited.map(lambda one: (one,)) | st.builds(
    Wechat,
    mchid=st.from_regex(r"\A[0-9]{6,20}\Z"),
    appid=st.from_regex(r"\A[0-9A-Za-z_-]{1,32}\Z"),
    brand_id=st.just("") | st.from_regex(r"\A[0-9A-Za-z]{1,32}\Z"),
    code_mode=st.sampled_from(CodeMode),
    stocks=st.dictionaries(
        st.from_regex(r"\A[0-9]{1,20}\Z"), st.sampled_from(CodeMode), max_size=2
    ),
).map(
    lambda wechat: (
        sandbox,
        msgspec.structs.replace(
            sandbox,
            code="wx",
            dialect=Dialect.WECHAT_PRODUCT_COUPON if wechat.brand_id else Dialect.WECHAT_BUSIFAVOR,
            wechat=wechat,
            capabilities=Capabilities(two_phase=bool(wechat.brand_id)),
        ),
    )
)
pools = st.builds(
    CodePool,
    low_stock=st.integers(0, 1000),
    skus=st.dictionaries(st.just("LATTE"), st.integers(0, 1000)),
).map(
    lambda pool: msgspec.structs.replace(
        sandbox, code="pool", dialect=Dialect.CODE_POOL, url="", code_pool=pool
    )
)
bookings = st.none() | st.builds(
    Booking,
    first_days=st.integers(0, 30),
    last_days=st.integers(30, 366),
    free_cancel_hours=st.integers(0, 8784),
    late_cancel=st.sampled_from(LateCancel),
    if_ended=st.sampled_from(IfEnded),
)
prices = st.builds(
    Price,
    from_=st.dates(date(2025, 1, 1), date(2025, 9, 1)),
    cost=st.just(Decimal("0.00")),
    market_value=st.none() | amounts,
)


def followed(benefit: tuple[Benefit, ...]) -> tuple[Benefit, ...]:
    """Return lounges whose contract ends, and the videos that replace them."""
    lounge, video = benefit
    open_ = {"claim_from": None, "claim_until": None, "use": None}
    ends = {"contract_end": date(2025, 12, 31), "replacement": "VIDEO"}
    return (
        msgspec.structs.replace(lounge, **open_, **ends),
        msgspec.structs.replace(video, **open_),
    )


@st.composite
def benefits(
    draw: st.DrawFn, one: Benefit, name: dict[str, str], ranks: list[str], *, chosen: bool
) -> Benefit:
    """Return a benefit with other words, amounts and rules; a choice is of whole units."""
    count = st.integers(1, 20) if chosen else quantities
    return msgspec.structs.replace(
        one,
        name=name,
        cost=draw(amounts),
        scale=0 if chosen else 1,
        stock=draw(st.none() | st.integers(0, 99)),
        cap=draw(st.none() | st.builds(Cap, limit=count, window=st.sampled_from(CapWindow))),
        claw_back=draw(st.sampled_from(ClawBack)),
        late_reversal=LateReversal(then=draw(st.sampled_from(Late)), days=30),
        companions=draw(st.dictionaries(st.sampled_from(ranks), st.integers(1, 9), max_size=3)),
        unused=draw(st.sampled_from(Unused)),
        claim_from=draw(st.none() | st.dates(date(2025, 1, 1), date(2025, 6, 1))),
        claim_until=draw(st.none() | st.dates(date(2025, 6, 1), date(2025, 9, 1))),
        use=draw(uses) if one.kind is not Kind.DIRECT_TOPUP else None,
        nature=draw(st.sampled_from(Nature)),
        triggers=tuple(draw(st.lists(st.sampled_from(Trigger), unique=True, max_size=3))),
        prices=tuple(draw(st.lists(prices, max_size=1))),
        booking=draw(bookings) if one.kind is Kind.BOOKING else None,
        priced_at=draw(st.sampled_from(PricedAt)),
        settled=draw(st.sampled_from([None, Settled.USE])),
        stacking=draw(stackings) if one.code == "VIDEO" and not chosen else one.stacking,
        recipient=tuple(draw(st.lists(st.sampled_from(["phone", "name"]), unique=True))),
    )


@st.composite
def programmes(draw: st.DrawFn) -> Programme:
    """Return the reference programme with other words, amounts and choices."""
    base = msgspec.structs.replace(reference_programme(), provider=(*draw(providers), draw(pools)))
    name = {"zh": draw(words), "en": draw(words)}
    chosen = draw(st.lists(choices(name), max_size=1))
    count = st.integers(1, 20) if chosen else quantities
    exclusion = draw(st.sampled_from(["", "gift"]))
    of = [benefits(one, name, [*base.ranks], chosen=bool(chosen)) for one in base.benefit]
    benefit = tuple(msgspec.structs.replace(draw(one), exclusion=exclusion) for one in of)
    bare = {b.code for b in benefit if not b.recipient and not b.booking and not chosen}
    if draw(st.booleans()):
        benefit, bare = followed(benefit), set()
    line = tuple(
        msgspec.structs.replace(
            one,
            quota=dict.fromkeys(one.quota, draw(count)),
            carry=draw(carries) if one.benefit == "LOUNGE" else None,
            priority=draw(st.none() | st.integers(0, 99)),
            cost_centre=draw(st.sampled_from(["", "CC-7"])),
            claim=draw(st.sampled_from(Claiming)) if one.benefit in bare else Claiming.CLAIM,
            **draw(st.sampled_from([{}, {"benefit": "", "choice": "PICK"}] if chosen else [{}])),
        )
        for one in base.line
    )
    return msgspec.structs.replace(
        base,
        name=name,
        policy=msgspec.structs.replace(base.policy, welcome=draw(welcomes)),
        benefit=benefit,
        choice=tuple(chosen),
        limit=draw(limits),
        line=(*line, draw(occurrences | days_31)),
        compliance=draw(st.sampled_from(Preset)),
        notice_days=draw(st.integers(0, 366)),
    )


@given(programmes())
def test_any_programme_is_exported_as_it_is(made: Programme) -> None:
    """Whatever a version says, its file says the same."""
    assert encoded(made) == encoded(read(write(made)))


def test_a_mark_before_a_file_says_nothing() -> None:
    """Some editors put one before it: the file is read as without."""
    marked = "\ufeff" + (ROOT / "tests" / "programme.toml").read_text(encoding="utf-8")
    assert reference_programme() == read(marked)
    rule = "eligible = { age = { at_least = 60 } }"
    assert read_rule(rule) == read_rule(f"\ufeff{rule}")
