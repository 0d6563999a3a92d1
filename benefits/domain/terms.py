"""What a new version of a programme changes, and what of it is worse for members (U-2).

Versions are compared value by value; what stands in a list is known by its code, which stands in
quotes in a path where it has a dot of its own. Worse is fewer
units, a higher bound, a shorter life, a stricter condition, and whatever cannot be compared: only
what is known to be no worse passes as such. A worse version needs a notice, given long enough
before it holds by a way other than the web page.
"""

import enum
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import inspect

from benefits.domain.benefit import ClawBack, Late
from benefits.domain.booking import IfEnded, LateCancel
from benefits.domain.lattice import Unused
from benefits.domain.limits import Dimension, OnFull
from benefits.domain.packages import Downgrade, Line, Start, UpgradePolicy
from benefits.domain.policy import UpgradeTiming
from benefits.domain.prices import Price, is_worth_less
from benefits.domain.programme import Programme
from benefits.domain.recurring import Missing
from benefits.domain.refusal import Refusal
from benefits.domain.stacking import StackBy
from benefits.domain.use import Length
from benefits.domain.wording import claim_of

TEXT_MAX = 4000


class NoticeMissing(Refusal):
    """A version is worse for members, and they were not told of it long enough before (U-2)."""

    code = "notice_missing"
    words = "Members were not told of this version in time."


class NoticeInvalid(Refusal):
    """A notice is dated ahead, has no text, or claims a right that terms must not claim (U-2)."""

    code = "notice_invalid"
    words = "This is no notice."


class Channel(enum.Enum):
    """How members were told; the web page alone is not enough."""

    SMS = "SMS"
    PUSH = "PUSH"
    LETTER = "LETTER"
    EMAIL = "EMAIL"
    WECHAT = "WECHAT"
    PHONE = "PHONE"


class Change(msgspec.Struct, frozen=True):
    """A value that differs between two versions, by its path, as JSON; empty where there is none.

    It `is_worse` for members, or not known to be no worse.
    """

    path: str
    before: str
    after: str
    is_worse: bool

    def __str__(self) -> str:
        """Write it as a line."""
        return f"{self.path}: {self.before or 'none'} -> {self.after or 'none'}"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What members were told of changes that are worse for them, how, and on which day."""

    channel: Channel
    given_on: date
    text: str
    by: str
    changes: tuple[Change, ...]


Judge = Callable[[Any, Any], bool]


def _never(_before: Any, _after: Any) -> bool:
    return False


def _less(before: Any, after: Any) -> bool:
    return after is None or (before is not None and Decimal(after) < Decimal(before))


def _more(before: Any, after: Any) -> bool:
    return after is None or (before is not None and Decimal(after) > Decimal(before))


def _lighter(before: Any, after: Any) -> bool:
    return Decimal(after or 1) < Decimal(before or 1)  # a class weighs 1 unless said


def _owed_more(before: Any, after: Any) -> bool:
    return Decimal(after or 0) > Decimal(before or 0)  # and counts, once it is owed no more


def _gone(_before: Any, after: Any) -> bool:
    return after is None


def _gone_or_owing(_before: Any, after: Any) -> bool:
    """Judge a tier or a way; one that deducts a class takes it from all other metrics (A-8)."""
    if after is None:
        return True
    ways = after.get("any", [after])
    return any(condition["liabilities"] for way in ways for condition in way["all"])


def _new(before: Any, _after: Any) -> bool:
    return before is None


def _asked(_before: Any, after: Any) -> bool:
    return bool(after)


def _had(before: Any, _after: Any) -> bool:
    return bool(before)


def _gone_freedom(before: Any, after: Any) -> bool:
    return bool(before) and not after


def _sooner(before: Any, after: Any) -> bool:
    return after is not None and (before is None or after < before)  # days, as they are written


def _tighter(before: Any, after: Any) -> bool:
    return after is not None and (before is None or Decimal(after) < Decimal(before))


def _later(before: Any, after: Any) -> bool:
    return after is not None and (before is None or after > before)


def _lower(*best_first: enum.Enum) -> Judge:
    order = [each.value for each in best_first]
    return lambda before, after: order.index(after) > order.index(before)


def _shorter(before: Any, after: Any) -> bool:
    """Judge a life in days; without one units end with their period, which may be later."""
    return bool(before != after and (not before or not after or after < before))


def _worth_less(before: Any, after: Any) -> bool:
    """Judge dated prices by what members are told of them: a cost is the bank's own affair."""
    one, other = (msgspec.convert(each or (), tuple[Price, ...]) for each in (before, after))
    return is_worth_less(one, other)


_TAKES_MORE = _lower(*Downgrade)  # by their order
_X = r'(?:[^."]+|"(?:[^"\\]|\\.)*")'  # a part of a path, as `_part` writes it
# By path; the first that fits says whether a change is worse, and without one it is. What a budget
# has is promised and told to nobody; a stock is part of what is offered.
_JUDGES: tuple[tuple[str, Judge], ...] = (
    (rf"(name|provider|budget|(tier|benefit|choice)\.{_X}\.(name|about))\..*", _never),
    (rf"line\.{_X}\.(segment\.name\..*|cost_centre)", _never),
    (rf"tier\.{_X}\.any\.{_X}\.name\..*|policy\.(near|max_wait)", _never),
    (rf"benefit\.{_X}\.(provider|cost|priced_at|settled)", _never),
    (rf"limit\.{_X}\.on_full", _lower(OnFull.NEXT_WINDOW, OnFull.WAITLIST, OnFull.REJECT)),
    (rf"compliance|benefit\.{_X}\.(nature|triggers\.{_X})", _never),
    (rf"policy\.weights\.{_X}", _lighter),
    (rf"policy\.liabilities\.{_X}", _owed_more),
    (rf"closing_days|notice_days|line\.{_X}\.(quota\.{_X}|quantity)", _less),
    (
        rf"tier\.{_X}\.(misses|lock\.months|lock\.grace)|policy\.(welcome\.months|make_good_days)",
        _less,
    ),
    (rf"benefit\.{_X}\.(cap\.limit|late_reversal\.days)|limit\.{_X}\.limit", _less),
    (rf"benefit\.{_X}\.companions\.{_X}", _less),
    (rf"benefit\.{_X}\.(stacking\.cap|stock)", _tighter),
    (
        rf"benefit\.{_X}\.stacking\.by",
        _lower(StackBy.SUM, StackBy.MAX, StackBy.PRIORITY),
    ),
    (rf"benefit\.{_X}\.(contract_end|claim_until|use\.until)", _sooner),
    (rf"benefit\.{_X}\.claim_from", _later),
    (rf"benefit\.{_X}\.booking\.(first_days|free_cancel_hours)", _more),
    (rf"benefit\.{_X}\.booking\.(last_days|make_good_days|no_show_hours)", _less),
    (rf"benefit\.{_X}\.booking\.late_cancel", _lower(LateCancel.CAPTURE, LateCancel.REFUSE)),
    (rf"benefit\.{_X}\.booking\.if_ended", _lower(IfEnded.MAKE_GOOD, IfEnded.LOSE)),
    # Of two replacements neither is known to be better; one that is new comes after the end.
    (rf"benefit\.{_X}\.replacement", _had),
    (rf"benefit\.{_X}\.prices", _worth_less),
    (rf"benefit\.{_X}\.use\.(days|late_days)", _less),
    (rf"benefit\.{_X}\.unused", _lower(Unused.RETURN, Unused.LOST)),
    (rf"benefit\.{_X}\.use\.length", _lower(Length.WHOLE_DAYS, Length.EXACT_DURATION)),
    (rf"policy\.(minimum_days|post_by)|tier\.{_X}\.threshold", _more),
    (rf"benefit\.{_X}\.(takes|lead_days)", _more),
    (rf"tier\.{_X}(\.any\.{_X})?", _gone_or_owing),
    (rf"(asset_classes|currencies|benefit|choice|line)\.{_X}", _gone),
    (rf"choice\.{_X}\.benefits\.{_X}", _gone),
    (rf"choice\.{_X}\.repeat|freeze_adds_days", _gone_freedom),
    (rf"tier\.{_X}\.lock|policy\.welcome", _gone),
    (rf"benefit\.{_X}\.(cap|use|recipient\.{_X})|limit\.{_X}", _new),
    # A rule that is there no more lets everybody in; of two rules neither is known to be wider.
    (rf"(benefit|line)\.{_X}\.(eligible|consent)", _asked),
    (rf"benefit\.{_X}\.exclusion", _asked),
    (rf"consent\.{_X}", _never),
    (
        r"policy\.upgrade",
        _lower(UpgradeTiming.INSTANT, UpgradeTiming.NEXT_DAY, UpgradeTiming.NEXT_PERIOD),
    ),
    (
        rf"line\.{_X}\.upgrade",
        _lower(
            UpgradePolicy.FULL,
            UpgradePolicy.TOP_UP,
            UpgradePolicy.PRORATE_CEIL,
            UpgradePolicy.PRORATE_FLOOR,
            UpgradePolicy.NEXT_PERIOD,
        ),
    ),
    (rf"line\.{_X}\.valid_days", _shorter),
    # Units that are carried over live longer, and the cap takes none of a period's own.
    (rf"line\.{_X}\.carry", _gone),
    (rf"line\.{_X}\.carry\.(periods|cap)", _less),
    (rf"line\.{_X}\.downgrade", _TAKES_MORE),
    (rf"line\.{_X}\.start", _lower(Start.PERIOD, Start.EVALUATION)),
    (rf"line\.{_X}\.missing", _lower(Missing.LAST_DAY, Missing.SKIP)),
    (rf"benefit\.{_X}\.claw_back", _lower(ClawBack.WRITE_OFF, ClawBack.DEBT)),
    (rf"benefit\.{_X}\.late_reversal\.then", _lower(Late.MAKE_GOOD, Late.EXPIRE)),
)


def changes(before: Programme, after: Programme) -> list[Change]:
    """Return what differs between two versions of a programme, in the order of the paths (U-2)."""
    found = _compare("", msgspec.to_builtins(before), msgspec.to_builtins(after))
    return [
        msgspec.structs.replace(each, is_worse=_takes_away(each, before, after)) for each in found
    ]


def _takes_away(change: Change, before: Programme, after: Programme) -> bool:
    """Say whether a change is worse beside all the rest, whatever it is by itself."""
    return (
        (change.is_worse and not _limits_nothing(change, before, after))
        or _brings_less(change, after)
        or _fills_limits(change, after)
        or _hides_more(change, before, after)
        or _displaces_better(change, before, after)
    )


def _limits_nothing(change: Change, before: Programme, after: Programme) -> bool:
    """Say whether a limit is new, of new benefits alone, or one concerns a benefit less."""
    kind, code, *under = [*parts_of(change.path), ""]
    benefits = next((one.benefits for one in after.limit if one.code == code), ())
    if kind != "limit" or not benefits:
        return False
    if under[0] == "benefits":
        return not change.after
    return not (change.before or under[0]) and before.benefits.keys().isdisjoint(benefits)


def _fills_limits(change: Change, after: Programme) -> bool:
    """Say whether a benefit costs more that a limit counts by its cost: fewer pieces fit in."""
    for benefit in after.benefit:
        if change.path == f"benefit.{_part(benefit.code)}.cost":
            limits = after.limits[benefit.code]
            costs_more = _more(json.loads(change.before), json.loads(change.after))
            return costs_more and any(one.dimension is Dimension.COST for one in limits)
    return False


def _brings_less(change: Change, after: Programme) -> bool:
    """Say whether a tier is new that brings less than the one below it: units, or companions."""
    codes = [tier.code for tier in after.tier]
    code = next((code for code in codes if change.path == f"tier.{_part(code)}"), None)
    if change.before or code is None:
        return False
    below = codes[codes.index(code) - 1]
    by_tier = [line.quota for line in after.line] + [one.companions for one in after.benefit]
    return any(each.get(code, 0) < each.get(below, 0) for each in by_tier)


def _hides_more(change: Change, before: Programme, after: Programme) -> bool:
    """Say whether a line is for more members than before, and hides one that brings them more.

    So it is where the first line counts alone (P-7), and is new, names another tier, or asks for
    less of its members.
    """
    for line in after.line:
        path, benefit = f"line.{_part(line.code)}", after.benefits.get(line.benefit)
        if benefit is None or benefit.stacking.by is not StackBy.PRIORITY:
            continue
        tiers = [
            code for code in line.quota if change.path in {path, f"{path}.quota.{_part(code)}"}
        ]
        if change.path == f"{path}.eligible" and not change.after:
            tiers = list(line.quota)
        elif change.before or not (tiers or change.path == path):
            continue
        there = {one.code for one in before.line}
        others = [
            one
            for one in after.line
            if one.benefit == line.benefit and one.order > line.order and one.code in there
        ]
        return any(_hides(line, other, tiers) for other in others)
    return False


def _displaces_better(change: Change, before: Programme, after: Programme) -> bool:
    """Say whether units of a line may come in place of another's that are better (P-7).

    They live longer, or a fall takes less of them (P-6). So it is where lines share what a benefit
    brings, and one brings more, or another one counts.
    """
    for line in after.line:
        benefit = after.benefits.get(line.benefit)
        if benefit is None or benefit.stacking.is_plain:
            continue
        path = f"line.{_part(line.code)}"
        more = {path, f"{path}.quantity", f"{path}.eligible"}
        more.add(f"benefit.{_part(benefit.code)}.stacking.by")
        others = [one for one in before.line if one.benefit == line.benefit]
        if change.path in more or change.path.startswith(f"{path}.quota."):
            return any(
                _shorter(one.valid_days, line.valid_days)
                or _TAKES_MORE(one.downgrade.value, line.downgrade.value)
                for one in others
            )
    return False


def _hides(first: Line, other: Line, tiers: Iterable[str]) -> bool:
    """Say whether a line brings some of its members less than another that it hides."""
    if first.segment is not None:
        return max([other.quantity, *other.quota.values()]) > first.quantity
    if other.segment is not None:
        return any(other.quantity > first.quota[tier] for tier in tiers)
    return any(other.quota.get(tier, 0) > first.quota[tier] for tier in tiers)


def _compare(path: str, before: Any, after: Any) -> Iterator[Change]:
    one, other = _parts(before), _parts(after)
    if one is None or other is None:
        if before != after:
            worse = _is_worse(path, before, after)
            yield Change(path, _shown(before), _shown(after), worse)
        return
    for key in dict.fromkeys([*one, *other]):
        under = f"{path}.{_part(key)}" if path else _part(key)
        yield from _compare(under, one.get(key), other.get(key))


def _part(key: str) -> str:
    """Write a field or a code as a part of a path, so that no code is taken for a path."""
    return key if re.fullmatch(r'[^."]+', key) else json.dumps(key, ensure_ascii=False)


def parts_of(path: str) -> list[str]:
    """Return the fields and codes that a path is made of."""
    return [json.loads(part) if part.startswith('"') else part for part in re.findall(_X, path)]


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Return what a value is made of, by field or by code; None for what is one value."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list | tuple):
        if all(isinstance(each, Mapping) and "code" in each for each in value):
            return {each["code"]: each for each in value}
        if all(isinstance(each, str) for each in value):
            return {each: each for each in value}
    return None


def _is_worse(path: str, before: Any, after: Any) -> bool:
    for pattern, judge in _JUDGES:
        if re.fullmatch(pattern, path):
            return judge(before, after)
    return True


def _shown(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value, order="deterministic").decode()


def renewed(change: Change) -> Change:
    """Return a change as it is written today: what a whole thing did not say yet is its default.

    So a notice of an earlier release is one of the same change.
    """
    kind = _kind_at(change.path)
    before, after = (_rewritten(kind, text) for text in (change.before, change.after))
    return msgspec.structs.replace(change, before=before, after=after)


@lru_cache
def _kind_at(path: str) -> type[msgspec.Struct] | None:
    """Return of which type a whole thing is, by its path in a programme; None of one value."""
    kind: Any = inspect.type_info(Programme)
    for part in re.findall(_X, path):
        match kind:
            case inspect.StructType():
                kind = next((each.type for each in kind.fields if each.encode_name == part), None)
            case inspect.VarTupleType():
                kind = kind.item_type
            case inspect.DictType():
                kind = kind.value_type
            case _:
                return None
        if isinstance(kind, inspect.UnionType):
            kind = next((one for one in kind.types if isinstance(one, inspect.StructType)), None)
    return kind.cls if isinstance(kind, inspect.StructType) else None


def _rewritten(kind: type[msgspec.Struct] | None, text: str) -> str:
    if kind is None or not text:
        return text
    try:
        return _shown(msgspec.to_builtins(msgspec.json.decode(text, type=kind)))
    except msgspec.DecodeError:  # nothing that could be written today
        return text


def check_notice(notice: Notice, today: date) -> None:
    """Refuse a notice that says nothing, is dated ahead, or claims too much (NoticeInvalid)."""
    if not notice.changes:
        raise NoticeInvalid("Nothing in it is worse for members; no notice is needed.")
    if not notice.text.strip() or len(notice.text) > TEXT_MAX:
        raise NoticeInvalid(f"A notice has 1 to {TEXT_MAX} characters.")
    if notice.given_on > today:
        raise NoticeInvalid(f"It is dated {notice.given_on}; record it when it has been given.")
    if claimed := claim_of(notice.text):
        raise NoticeInvalid(f"It claims {claimed!r}, which terms must not.")


def told_on(change: Change, notices: Iterable[Notice]) -> date | None:
    """Return on which day members were first told of a change; None if never."""
    return min((one.given_on for one in notices if change in one.changes), default=None)


def unspent(
    given: Sequence[tuple[datetime, Notice]], versions: Sequence[tuple[datetime, Programme]]
) -> list[Notice]:
    """Return notices with those changes that did not come into force since they were recorded.

    Both come with their instants, versions in their order: what was told once is to be told again
    when it is undone and done once more.
    """
    steps = [(at, set(changes(before, after))) for (_, before), (at, after) in pairwise(versions)]
    found = list[Notice]()
    for recorded_at, notice in given:
        done = {change for at, some in steps if at > recorded_at for change in some}
        left = tuple(change for change in notice.changes if change not in done)
        found.append(msgspec.structs.replace(notice, changes=left))
    return found


# What decides tiers, and so holds from the first day of the first month that a version judges.
_JUDGES_MONTHS = re.compile(r"(tier|policy|asset_classes|currencies|feeds)\b.*")


def check_told(
    found: Iterable[Change], notices: Sequence[Notice], *, begins: date, judged: date, days: int
) -> None:
    """Refuse worse changes of which members were not told `days` before (NoticeMissing, U-2).

    What decides tiers holds from `judged` on, all else from the day on which the version `begins`.
    """
    untold = list[str]()
    for change in found:
        told = told_on(change, notices) if change.is_worse else date.min
        holds = min(judged, begins) if _JUDGES_MONTHS.fullmatch(change.path) else begins
        if told is None:
            untold.append(f"{change} (not told)")
        elif told > holds - timedelta(days=days):
            untold.append(f"{change} (told on {told})")
    if untold:
        listed = "\n".join(untold)
        raise NoticeMissing(f"Worse for members, and not told {days} days before:\n{listed}")
