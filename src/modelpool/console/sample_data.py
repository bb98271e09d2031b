"""A table to try things with: customers of a telephone company, made up, the same each time."""

from __future__ import annotations

import csv
import io
import math
from random import Random

SAMPLE_NAME = "Sample: customers who left"
SAMPLE_FILE = "sample-customers.csv"
_N_ROWS = 600
_PLANS = {"monthly": 0.9, "yearly": -0.6, "two years": -1.4}
_COLUMNS = ("age", "months_with_us", "monthly_price", "plan", "support_calls", "uses_app", "left")


def sample_table() -> bytes:
    """Return a CSV of 600 rows: numbers, words, truth values, a few gaps; ``left`` says who left, and can be learnt."""
    chance, target = Random(11), io.StringIO(newline="")  # noqa: S311  the same for everybody is wanted
    writer = csv.writer(target)
    writer.writerow(_COLUMNS)
    for _row in range(_N_ROWS):
        writer.writerow(_customer(chance))
    return target.getvalue().encode()


def _customer(chance: Random) -> list[object]:
    plan = chance.choice(list(_PLANS))
    age, months, calls = chance.randint(18, 80), chance.randint(1, 72), min(9, int(chance.expovariate(0.7)))
    price, uses_app = round(chance.uniform(15, 95), 2), chance.random() < 0.6
    tends = 0.7 + _PLANS[plan] + 0.55 * calls - 0.045 * months + 0.018 * (price - 50) - 0.5 * uses_app
    left = chance.random() < 1 / (1 + math.exp(-2 * tends))
    shown_age = "" if chance.random() < 0.04 else age
    return [shown_age, months, price, plan, calls, str(uses_app).lower(), "yes" if left else "no"]
