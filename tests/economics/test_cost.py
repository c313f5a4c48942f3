"""Costs: measured compute at the machine's price, a share of the making, nothing lost in sums."""

from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from freehold.economics.cost import Making, UsageCost, add, exact, inputs_ever, usage_cost
from freehold.meter.events import UsageRow
from freehold.money import EXACT
from freehold.project import Costs

COSTS = Costs(machine_per_hour=Decimal("0.36"), lifetime_inputs=1000)
MAKING = Making(Decimal("2.00"), Decimal("50.00"), "EUR")


def test_compute_is_hours_at_the_machines_price() -> None:
    assert usage_cost(3_600_000_000, 5, 5, None, COSTS) == UsageCost(Decimal("0.36"))
    assert usage_cost(10_000, 5, 5, None, COSTS).total == Decimal("0.000001")


def test_the_making_is_spread_over_the_lifetime_then_over_what_was_served() -> None:
    young = usage_cost(0, 100, 100, MAKING, COSTS)
    assert (young.training, young.labelling) == (Decimal("0.2"), Decimal("5"))
    old = usage_cost(0, 100, 4000, MAKING, COSTS)
    assert (old.training, old.labelling) == (Decimal("0.05"), Decimal("1.25"))
    assert usage_cost(0, 4000, 4000, MAKING, COSTS).total == MAKING.total


def test_a_lifetime_of_nothing_and_no_inputs_divide_by_nothing() -> None:
    costs = Costs(lifetime_inputs=0)
    assert usage_cost(0, 0, 0, MAKING, costs).total == 0
    assert usage_cost(0, 10, 10, MAKING, costs).total == MAKING.total


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**6)), max_size=20))
def test_sums_of_costs_do_not_depend_on_their_order(usage: list[tuple[int, int]]) -> None:
    costs = Costs(machine_per_hour=Decimal("0.123456789"), lifetime_inputs=7)
    parts = [usage_cost(us, inputs, 10**7, MAKING, costs).total for us, inputs in usage]
    assert add(parts) == add(reversed(parts)) == add([add(parts[::2]), add(parts[1::2])])
    with localcontext(EXACT):
        whole = costs.machine_per_hour * sum(us for us, _ in usage) / 3_600_000_000
        whole += MAKING.total * sum(inputs for _, inputs in usage) / 10**7
    assert abs(add(parts) - whole) < Decimal("1e-15")


def test_a_cost_is_rounded_half_up_to_its_quantum() -> None:
    assert exact(Decimal("1.0000000000000000005")) == Decimal("1.000000000000000001")


def test_inputs_ever_are_those_of_all_customers() -> None:
    rows = [UsageRow("a", "m", 1, 1, 10, 0, 0), UsageRow("b", "m", 1, 1, 5, 0, 0)]
    assert inputs_ever(rows) == {("m", 1): 15}
