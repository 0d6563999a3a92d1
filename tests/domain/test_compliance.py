"""The compliance matrix says what the rules say, and cites what forbids (X-1)."""

import json

import pytest

from benefits.domain import guard
from benefits.domain.compliance import Nature, Trigger, Verdict, matrix
from benefits.domain.guard import ComplianceForbidden, ComplianceUnapproved, Pair
from benefits.domain.programme_file import read
from tests.builders import PROGRAMME, reference_programme

# As the table of the rules has it; a draw for a status has no meaning, so it is none.
TABLE = """
DEPOSIT            x x x ! ! ! ! +
TIER               ! x ! ! + + + +
AUM_GROWTH         ! x ! ! ! ! ! +
WEALTH_PURCHASE    x x x x ! ! ! +
FUND_PURCHASE      x x x ! ! ! ! +
INSURANCE_PURCHASE x x x x x x x x
REFERRAL           ! x ! ! + + + +
RANDOM_DRAW        ! x ! ! + + + x
ACTIVITY           + x + + + + + +
"""
MARKS = {Verdict.FORBIDDEN: "x", Verdict.NEEDS_APPROVAL: "!", Verdict.ALLOWED: "+"}


def test_the_matrix_is_the_one_of_the_rules() -> None:
    """Every trigger against every nature, in their order."""
    made = [
        [trigger.value, *(MARKS[matrix(trigger, nature)[0]] for nature in Nature)]
        for trigger in Trigger
    ]
    assert [line.split() for line in TABLE.strip().splitlines()] == made


def test_every_forbidden_cell_is_cited() -> None:
    """Whoever is refused reads what says so; what is allowed needs no words."""
    for trigger in Trigger:
        for nature in Nature:
            verdict, citation = matrix(trigger, nature)
            assert (verdict is not Verdict.ALLOWED) == bool(citation), (trigger, nature)


def test_units_that_are_drawn_are_given_for_what_their_owner_is() -> None:
    """A gift that takes lounge units is brought by the lounge's line, and rewarded with it."""
    gift = PROGRAMME[
        PROGRAMME.index('[[benefit]]\ncode = "LOUNGE"') : PROGRAMME.index(
            '[[benefit]]\ncode = "VIDEO"'
        )
    ]
    gift = gift.replace('"LOUNGE"', '"MUG"') + 'draws = "LOUNGE"\nnature = "PHYSICAL_GIFT"\n\n'
    made = read(PROGRAMME.replace("[[line]]", f"{gift}[[line]]", 1))
    (found,) = guard.findings(made)
    assert ("MUG", Trigger.TIER, Verdict.NEEDS_APPROVAL) == (
        found.benefit,
        found.trigger,
        found.verdict,
    )
    with pytest.raises(ComplianceUnapproved, match="MUG: PHYSICAL_GIFT for TIER"):
        guard.check([found], set())
    guard.check([found], {Pair(Trigger.TIER, Nature.PHYSICAL_GIFT)})
    ends = "contract_end = 2025-10-31\nreplacement = "
    follows = gift.replace('draws = "LOUNGE"', "triggers = []")
    lounge = PROGRAMME.replace('sku = "lounge-visit"', f'sku = "lounge-visit"\n{ends}"MUG"', 1)
    after = guard.findings(read(lounge.replace("[[line]]", f"{follows}[[line]]", 1)))
    (found,) = (each for each in after if each.benefit == "MUG")
    assert Trigger.TIER is found.trigger


@pytest.mark.parametrize(
    ("classes", "policy", "is_drawing"),
    [
        ("DEPOSIT WEALTH", "", False),
        ("DEPOSIT", "", True),
        ("DEPOSIT_CURRENT DEPOSIT_TERM", "", True),
        ("DEPOSIT LOAN", 'liabilities = { LOAN = "1" }', True),
        ("DEPOSIT METAL", 'calendar = "cn"\npoint_in_time = { classes = ["METAL"] }', False),
    ],
)
def test_what_a_tier_of_deposits_brings_is_given_for_deposits(
    classes: str, policy: str, *, is_drawing: bool
) -> None:
    """A gift by tier; where nothing but deposits counts for it, it draws deposits (X-1)."""
    text = PROGRAMME.replace('kind = "BOOKING"', 'kind = "BOOKING"\nnature = "PHYSICAL_GIFT"', 1)
    text = text.replace('["DEPOSIT", "WEALTH", "FUND"]', json.dumps(classes.split()))
    text = text.replace("[[tier]]", f"[policy]\n{policy}\n\n[[tier]]", 1)
    lounge = (each for each in guard.findings(read(text)) if each.benefit == "LOUNGE")
    found = {each.trigger: each.verdict for each in lounge}
    assert Verdict.NEEDS_APPROVAL is found.pop(Trigger.TIER)
    assert ({Trigger.DEPOSIT: Verdict.FORBIDDEN} if is_drawing else {}) == found
    segment = 'segment = { label = "cars", layer = "RULE", name = { zh = "车主", en = "Cars" } }'
    of_label = f'{segment}\nquantity = 1\nstart = "PERIOD"'
    quota = "quota = { PLATINUM = 2, DIAMOND = 6, PRIVATE = 12 }"
    labelled = guard.findings(read(text.replace(quota, of_label, 1)))
    given = {each.trigger for each in labelled if each.benefit == "LOUNGE"}
    assert {Trigger.TIER} == given


def test_what_is_drawn_for_is_not_given_for_a_purchase() -> None:
    """A draw never helps to sell; no approval helps either."""
    both = 'triggers = ["RANDOM_DRAW", "FUND_PURCHASE"]\nbudget = "video"'
    made = read(PROGRAMME.replace('budget = "video"', both))
    found = guard.findings(made)
    verdicts = {each.trigger: each.verdict for each in found}
    assert Verdict.FORBIDDEN is verdicts[Trigger.RANDOM_DRAW]
    with pytest.raises(ComplianceForbidden, match="not sold by draws"):
        guard.check(found, {each.pair for each in found})


def test_no_reward_of_what_may_be_drawn_is_worth_more_than_a_prize() -> None:
    """By the dearest that its units buy, and whatever the caller says that it is for (X-1)."""
    declared = 'budget = "video"\ntriggers = ["RANDOM_DRAW", "ACTIVITY"]'
    television = """[[benefit]]
code = "TV"
name = { zh = "电视", en = "Television" }
kind = "BOOKING"
provider = "sandbox"
sku = "tv"
cost = "40000.00"
consumed = "ISSUE"
draws = "VIDEO"
takes = 2
budget = "video"

[[line]]"""
    text = PROGRAMME.replace('budget = "video"', declared)
    made = read(text.replace("[[line]]", television, 1))
    for quantity, code in ((2, "ok"), (3, "compliance_forbidden")):
        for trigger in (None, Trigger.RANDOM_DRAW, Trigger.ACTIVITY):
            against = guard.check_reward(made, made.benefits["VIDEO"], trigger, quantity)
            assert code == ("ok" if against is None else against.code), trigger


@pytest.mark.parametrize(("worth", "is_fine"), [("50000.00", True), ("50000.01", False)])
def test_a_prize_is_worth_what_it_would_be_sold_for(worth: str, *, is_fine: bool) -> None:
    """Bought for less than its market value, it is as dear as that; so is each reward (X-1)."""
    price = f'{{ from = 2025-01-01, cost = "1.00", market_value = "{worth}" }}'
    declared = f'budget = "video"\ntriggers = ["RANDOM_DRAW"]\nprices = [{price}]'
    made = read(PROGRAMME.replace('budget = "video"', declared))
    assert is_fine == (() == guard.findings(made))
    against = guard.check_reward(made, made.benefits["VIDEO"], None, 1)
    assert is_fine == (against is None)
    assert guard.check_reward(made, made.benefits["VIDEO"], None, 6000) is not None


def test_a_programme_without_words_for_it_gives_services() -> None:
    """A version from before compliance was asked gives a service, as a reward for activity."""
    made = reference_programme()
    assert () == guard.findings(made)
    assert {(Nature.SERVICE, (Trigger.ACTIVITY,))} == {
        (b.nature, b.triggers) for b in made.benefit
    }
