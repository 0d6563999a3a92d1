"""What balances weigh in the database: exact, however large they are and however fine the weights.

Sums are multiplied as 64-bit integers, which costs least. Where a weight is so large over its
scale that a month of the largest balances could leave them, the statement multiplies as numerics.
"""

from benefits.domain.metrics import Basket

# So much times 31 days of 10**15, the largest balance that is taken, is a third of what fits.
LIGHT = 100


def weighing(statement: str, *baskets: Basket) -> str:
    """Return a statement that sums what baskets weigh, as it is exact for them."""
    heaviest = max((abs(n) for of in baskets for n in (*of.weights, *of.points)), default=0)
    return statement if heaviest <= LIGHT else statement.replace("::bigint[]", "::numeric[]")
