"""The words of an invoice, in English and in Chinese."""

from __future__ import annotations

from freehold.bill.periods import Period
from freehold.bill.rating import RatedLine

__all__ = ["LABELS", "describe", "labels", "month", "unit_name"]

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

LABELS: dict[str, dict[str, str]] = {
    "en": {
        "invoice": "Invoice",
        "interim": "Interim invoice",
        "interim_note": "Usage up to {at}. Later usage of this period is on a further invoice.",
        "final_note": "Final for this period: all usage recorded up to {at}.",
        "further_note": "Invoice {sequence} of this period: what the earlier ones do not hold.",
        "from": "From",
        "to": "Bill to",
        "number": "Invoice number",
        "issued": "Date of issue",
        "period": "Period",
        "plan": "Plan",
        "customer": "Customer number",
        "description": "Description",
        "quantity": "Quantity",
        "unit": "Unit",
        "price": "Unit price",
        "amount": "Amount",
        "net": "Net",
        "total": "Total",
        "usage": "Usage on this invoice: {inputs} inputs in {requests} requests, {tokens} tokens.",
        "rounding": "A line's amount is that of the whole period to date, rounded once, less what "
        "the earlier invoices billed for it.",
        "page": "Page {page} of {pages}",
        "month": "month",
        "inputs": "inputs",
        "tokens": "tokens",
    },
    "zh": {
        "invoice": "账单",
        "interim": "中期账单",
        "interim_note": "截至 {at} 的用量。本期之后的用量另开账单。",
        "final_note": "本期最终账单：截至 {at} 记录的全部用量。",
        "further_note": "本期第 {sequence} 张账单：仅含此前账单未列的部分。",
        "from": "开具方",
        "to": "客户",
        "number": "账单编号",
        "issued": "开具日期",
        "period": "账期",
        "plan": "套餐",
        "customer": "客户编号",
        "description": "项目",
        "quantity": "数量",
        "unit": "单位",
        "price": "单价",
        "amount": "金额",
        "net": "净额",
        "total": "合计",
        "usage": "本账单用量：{requests} 次请求，{inputs} 条文本，{tokens} 个词元。",
        "rounding": "每行金额为本期累计金额（四舍五入一次）减去本期此前账单已计的部分。",
        "page": "第 {page} 页，共 {pages} 页",
        "month": "月",
        "inputs": "条",
        "tokens": "词元",
    },
}


def labels(language: str) -> dict[str, str]:
    """The labels of a language; English for one that has none."""
    return LABELS.get(language, LABELS["en"])


def unit_name(unit: str, language: str) -> str:
    return labels(language).get(unit, unit)


def month(period: Period, language: str) -> str:
    year, number = period.start.year, period.start.month
    return f"{year}年{number}月" if language == "zh" else f"{_MONTHS[number - 1]} {year}"


def describe(line: RatedLine, period: Period, language: str) -> str:
    """A line's description: which month and days, or which range of units."""
    chinese = language == "zh"
    if line.kind == "fee":
        text = "基本费，" if chinese else "Base fee, "
        text += month(period, language)
        if line.days != line.of_days:
            days = f"{line.days}/{line.of_days}"
            text += f"（{days} 天）" if chinese else f" ({line.days} of {line.of_days} days)"
        return text
    unit = unit_name(line.unit, language)
    if line.kind == "included":
        return (
            f"基本费已包含的{unit}数" if chinese else f"{unit.capitalize()} covered by the base fee"
        )
    if line.kind == "cached":
        return f"缓存应答（{unit}）" if chinese else f"{unit.capitalize()} answered from the cache"
    if line.kind == "prepaid":
        return f"预付用量（{unit}）" if chinese else f"{unit.capitalize()} paid from the wallet"
    if line.first == 1 and line.last is None:
        return f"用量（{unit}）" if chinese else unit.capitalize()
    if line.last is None:
        first = f"{line.first:,}"
        return f"第 {first} {unit}起" if chinese else f"{unit.capitalize()} from {first} on"
    bounds = f"{line.first:,} 至 {line.last:,}" if chinese else f"{line.first:,} to {line.last:,}"
    return f"第 {bounds} {unit}" if chinese else f"{unit.capitalize()} {bounds}"
