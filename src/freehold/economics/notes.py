"""What stands out in a margin report: a few sentences, each with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_CEILING, Decimal, localcontext

from freehold.economics.figures import NO_PLAN, Report, shown
from freehold.money import EXACT
from freehold.project import Costs

__all__ = ["say", "stands_out"]

_LOSERS = 3


def say(amount: Decimal, currency: str) -> str:
    """An amount for a sentence."""
    return f"{shown(amount, currency)} {currency}"


def stands_out(report: Report, costs: Costs, now: datetime) -> tuple[str, ...]:
    with localcontext(EXACT):
        return (
            *_whole(report),
            *_losers(report),
            *_prices(report),
            *_versions(report),
            *_making(report, costs),
            *_concentration(report),
            *_fixed(report),
            *_shadow(report),
            *_to_do(report, now),
            *report.accounts.troubles,
        )


def _whole(report: Report) -> Iterator[str]:
    total, currency = report.total, report.currency
    span = report.periods[0].name
    if len(report.periods) > 1:
        span += f" to {report.periods[-1].name}"
    if not total.revenue and not total.inputs:
        yield f"{span}: nothing was used and nothing earned."
        return
    parts = (
        f"{say(total.booked, currency)} booked, {say(total.unbilled, currency)} not invoiced yet"
    )
    percent = f", {total.margin_percent:.1f} %" if total.margin_percent is not None else ""
    yield (
        f"{span}: {say(total.revenue, currency)} earned ({parts}) at a cost of "
        f"{say(total.cost.total, currency)}: a gross margin of "
        f"{say(total.gross_margin, currency)}{percent}."
    )


def _losers(report: Report) -> Iterator[str]:
    """Customers who cost more than they bring, the worst first."""
    losing = sorted(
        (line for line in report.customers if line.gross_margin < 0),
        key=lambda line: (line.gross_margin, line.name),
    )
    currency = report.currency
    for line in losing[:_LOSERS]:
        if line.revenue_per_1000 is None or line.cost_per_1000 is None:
            continue
        yield (
            f"{line.name} loses {say(-line.gross_margin, currency)}: 1,000 inputs bring "
            f"{say(line.revenue_per_1000, currency)} and cost {say(line.cost_per_1000, currency)}."
        )
    if len(losing) > _LOSERS:
        rest = sum((line.gross_margin for line in losing[_LOSERS:]), Decimal(0))
        yield f"{len(losing) - _LOSERS} more customers lose {say(-rest, currency)} together."


def _prices(report: Report) -> Iterator[str]:
    """Plans whose lowest price of a unit is below what computing it costs."""
    for line in report.plans:
        taken = report.accounts.plans.get(line.name)
        if taken is None:
            continue
        terms = taken.terms
        units = line.tokens if terms.unit == "tokens" else line.inputs
        lowest = min((tier.price for tier in terms.tiers), default=terms.price)
        if not units or not lowest:
            continue
        each = line.cost.compute / units
        if lowest < each:
            unit = terms.unit.removesuffix("s")
            yield (
                f"Plan {line.name} sells further {terms.unit} at {say(lowest, report.currency)} "
                f"each, below the {say(each, report.currency)} that computing one {unit} costs: "
                f"more use loses more."
            )


def _versions(report: Report) -> Iterator[str]:
    """The cheapest version beside the dearest, where a tenth or more lies between them."""
    priced = [(line.cost_per_1000, line) for line in report.versions if line.inputs]
    ranked = sorted(
        ((cost, line) for cost, line in priced if cost is not None),
        key=lambda pair: (pair[0], pair[1].name),
    )
    if len(ranked) < 2:
        return
    (low, cheap), (high, dear) = ranked[0], ranked[-1]
    if high > low * Decimal("1.1"):
        yield (
            f"1,000 inputs cost {say(low, report.currency)} on {cheap.name} and "
            f"{say(high, report.currency)} on {dear.name}."
        )


def _making(report: Report, costs: Costs) -> Iterator[str]:
    """How much of a version's training and labelling its use has carried so far."""
    for line in report.versions:
        making = report.accounts.makings.get(line.name)
        ever = report.accounts.ever.get(line.name, 0)
        if making is None or not making.total or ever >= costs.lifetime_inputs:
            continue
        percent = Decimal(ever) * 100 / costs.lifetime_inputs
        yield (
            f"{line.name} cost {say(making.total, report.currency)} to make; its {ever:,} inputs "
            f"have carried {percent:.2f} % of it, over a lifetime of {costs.lifetime_inputs:,}."
        )


def _concentration(report: Report) -> Iterator[str]:
    paying = [line for line in report.customers if line.revenue > 0]
    if len(paying) > 1 and paying[0].revenue * 2 > report.total.revenue:
        share = paying[0].revenue * 100 / report.total.revenue
        yield f"{paying[0].name} brings {share:.0f} % of the revenue."


def _fixed(report: Report) -> Iterator[str]:
    if not report.fixed:
        return
    total, currency, result = report.total, report.currency, report.operating_result
    text = (
        f"After fixed costs of {say(report.fixed, currency)} the operating result is "
        f"{say(result, currency)}"
    )
    if result >= 0:
        yield f"{text}."
    elif total.gross_margin > 0:
        # By customers, not by inputs: a base fee is earned once, however much is used.
        count = sum(1 for line in report.customers if line.revenue > 0)
        each = say(total.gross_margin / count, currency)
        more = int((-result * count / total.gross_margin).to_integral_value(ROUND_CEILING))
        yield (
            f"{text}; at {each} of gross margin a customer, "
            f"{more:,} more such customer{'s' if more > 1 else ''} would cover them."
        )
    else:
        yield f"{text}; without a positive gross margin no growth covers them."


def _shadow(report: Report) -> Iterator[str]:
    if report.shadow:
        yield (
            f"Shadow runs, which nobody is billed for, cost {say(report.shadow, report.currency)} "
            "of compute."
        )


def _to_do(report: Report, now: datetime) -> Iterator[str]:
    open_: dict[str, Decimal] = {}
    for cell in report.accounts.cells:
        if cell.unbilled:
            open_[cell.period] = open_.get(cell.period, Decimal(0)) + cell.unbilled
    ended = {period.name for period in report.periods if period.ended(now)}
    for name in sorted(open_.keys() & ended):
        yield (
            f"{say(open_[name], report.currency)} of {name} is earned and not invoiced, though the "
            f"month has ended: run `freehold invoice close --period {name}`."
        )
    outside = sum(line.inputs for line in report.plans if line.name == NO_PLAN)
    if outside:
        yield f"{outside:,} inputs were used outside any subscription: they cost and earn nothing."
