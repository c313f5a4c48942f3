"""The invoice as a printed page: A4, from the document alone, the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from freehold.bill.fonts import BOLD, REGULAR, markup, width
from freehold.bill.periods import parse_period
from freehold.bill.words import labels, month, unit_name
from freehold.money import minor_digits

__all__ = ["render"]

_INK, _GREY, _RULE, _ACCENT = (
    HexColor(0x1B1F24), HexColor(0x667079), HexColor(0xD5DADF), HexColor(0x0B5D4E)
)  # fmt: skip
_SIDE, _WIDTH = 20 * mm, A4[0] - 40 * mm
_FRAME = 6  # points that reportlab's frames keep inside their margins


def _style(size: float, *, bold: bool = False, **options: Any) -> ParagraphStyle:
    given = {"leading": size * 1.4, "textColor": _INK, "wordWrap": None, **options}
    return ParagraphStyle(f"s{size}", fontName=BOLD if bold else REGULAR, fontSize=size, **given)


_BODY, _RIGHT = _style(9), _style(9, alignment=TA_RIGHT)
_SMALL = _style(7.5, textColor=_GREY)
_LABEL, _LABEL_RIGHT = (
    _style(7.5, textColor=_GREY), _style(7.5, textColor=_GREY, alignment=TA_RIGHT)
)  # fmt: skip
_TITLE = _style(22, bold=True, textColor=_ACCENT)
_STRONG, _STRONG_RIGHT = _style(11, bold=True), _style(11, bold=True, alignment=TA_RIGHT)


def render(document: Mapping[str, Any]) -> bytes:
    """The PDF of an invoice's document."""
    words = labels(document["language"])
    buffer = io.BytesIO()
    title = words["interim"] if document["kind"] == "interim" else words["invoice"]
    template = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=_SIDE - _FRAME,
        rightMargin=_SIDE - _FRAME,
        topMargin=18 * mm,
        bottomMargin=24 * mm,
        invariant=1,
        title=f"{title} {document['number']}",
        author=document["seller"].splitlines()[0],
        subject=document["period"]["name"],
        creator="Freehold",
    )
    template.build(
        [
            *_heading(document, words, title),
            *_parties(document, words),
            Spacer(0, 9 * mm),
            _lines(document, words),
            Spacer(0, 5 * mm),
            KeepTogether([_sums(document, words), Spacer(0, 8 * mm), *_notes(document, words)]),
        ],
        canvasmaker=_numbered(document, words),
    )
    return buffer.getvalue()


def _text(text: str, style: ParagraphStyle = _BODY) -> Paragraph:
    return Paragraph(markup(text, style.fontName), style)


def _day(at: str) -> str:
    return at[:10]


def _minute(at: str) -> str:
    return f"{at[:10]} {at[11:16]} UTC"


def _number(value: str | int) -> str:
    """Digits in groups of three, with the decimals that it has; English and Chinese write alike."""
    return f"{Decimal(value):,f}"


def _price(rate: str, currency: str) -> str:
    """A rate with at least as many decimals as its currency has."""
    places = max(minor_digits(currency), len(rate.partition(".")[2]))
    return f"{Decimal(rate):,.{places}f}"


def _table(rows: list[list[Any]], widths: list[float], *styles: tuple[Any, ...]) -> Table:
    plain = (
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
    )
    return Table(rows, colWidths=widths, style=[*plain, *styles], hAlign="LEFT")


def _heading(document: Mapping[str, Any], words: Mapping[str, str], title: str) -> list[Flowable]:
    number = _text(document["number"], _STRONG_RIGHT)
    head = _table(
        [[_text(title, _TITLE), number]],
        [_WIDTH * 0.6, _WIDTH * 0.4],
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("LINEBELOW", (0, 0), (-1, 0), 1.2, _ACCENT),
        ("BOTTOMPADDING", (0, 0), (-1, 0), 8),
    )
    return [head, Spacer(0, 7 * mm)]


def _parties(document: Mapping[str, Any], words: Mapping[str, str]) -> list[Flowable]:
    """Seller and customer beside the facts of the invoice."""
    seller, _, address = document["seller"].partition("\n")
    customer = document["customer"]
    left = [_text(words["from"], _LABEL), _text(seller, _STRONG)]
    left += [_text(address)] if address.strip() else []
    middle = [_text(words["to"], _LABEL), _text(customer["name"], _STRONG)]
    middle += [_text(f"{words['customer']} {customer['id']}", _SMALL)]
    plans = ", ".join(dict.fromkeys(part["plan"] for part in document["subscriptions"]))
    period = parse_period(document["period"]["name"])
    facts = [
        (words["issued"], _day(document["issued_at"])),
        (words["period"], month(period, document["language"])),
        (words["plan"], plans),
    ]
    right = _table(
        [[_text(name, _LABEL), _text(value, _RIGHT)] for name, value in facts],
        [_WIDTH * 0.13, _WIDTH * 0.19],
        ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
    )
    widths = [_WIDTH * 0.34, _WIDTH * 0.34, _WIDTH * 0.32]
    return [_table([[left, middle, right]], widths, ("LEFTPADDING", (2, 0), (2, 0), 0))]


def _lines(document: Mapping[str, Any], words: Mapping[str, str]) -> Table:
    language, currency = document["language"], document["currency"]
    header = [
        _text(words["description"], _LABEL),
        _text(words["quantity"], _LABEL_RIGHT),
        _text(words["unit"], _LABEL),
        _text(f"{words['price']} ({currency})", _LABEL_RIGHT),
        _text(f"{words['amount']} ({currency})", _LABEL_RIGHT),
    ]
    rows: list[list[Any]] = [header]
    for line in document["lines"]:
        rows.append(
            [
                _text(line["description"]),
                _text(_number(line["quantity"]), _RIGHT),
                _text(unit_name(line["unit"], language)),
                _text(_price(line["unit_price"], currency), _RIGHT),
                _text(_number(line["amount"]), _RIGHT),
            ]
        )
    shares = (0.42, 0.15, 0.10, 0.17, 0.16)
    return Table(
        rows,
        colWidths=[share * _WIDTH for share in shares],
        repeatRows=1,
        hAlign="LEFT",
        style=[
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, _INK),
            ("LINEBELOW", (0, 1), (-1, -1), 0.4, _RULE),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 1), (-1, -1), 5),
            ("BOTTOMPADDING", (0, 1), (-1, -1), 5),
        ],
    )


def _sums(document: Mapping[str, Any], words: Mapping[str, str]) -> Table:
    currency = document["currency"]
    tax = document["tax"]
    rows = [[_text(words["net"]), _text(_number(document["net"]["amount"]), _RIGHT)]]
    if Decimal(tax["rate"]) or tax["minor"]:
        percent = f"{(Decimal(tax['rate']) * 100).normalize():f}"
        amount = _text(_number(tax["amount"]), _RIGHT)
        rows.append([_text(f"{tax['name']} {percent} %"), amount])
    total = f"{_number(document['total']['amount'])} {currency}"
    rows.append([_text(words["total"], _STRONG), _text(total, _STRONG_RIGHT)])
    # As wide as the total needs, but never less than the columns above it.
    column = max(_WIDTH * 0.2, width(total, _STRONG_RIGHT.fontSize, BOLD) + 12)
    table = _table(
        rows,
        [_WIDTH * 0.22, column],
        ("LINEABOVE", (0, -1), (-1, -1), 1.2, _ACCENT),
        ("TOPPADDING", (0, -1), (-1, -1), 6),
    )
    table.hAlign = "RIGHT"
    return table


def _notes(document: Mapping[str, Any], words: Mapping[str, str]) -> list[Flowable]:
    at = _minute(document["issued_at"])
    used = {name: f"{count:,}" for name, count in document["usage"]["new"].items()}
    sentences = [words[f"{document['kind']}_note"].format(at=at)]
    if document["sequence"] > 1:
        sentences.append(words["further_note"].format(sequence=document["sequence"]))
        sentences.append(words["rounding"])
    sentences.append(words["usage"].format(**used))
    return [_text(sentence, _SMALL) for sentence in sentences]


def _numbered(document: Mapping[str, Any], words: Mapping[str, str]) -> type[Canvas]:
    """A canvas that knows, when it is saved, how many pages there are."""

    class Numbered(Canvas):  # type: ignore[misc]  # reportlab ships no types
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - the name of the method that it stands for
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for page, state in enumerate(self._pages, start=1):
                self.__dict__.update(state)
                self._foot(page, len(self._pages))
                super().showPage()
            super().save()

        def _foot(self, page: int, pages: int) -> None:
            self.setStrokeColor(_RULE)
            self.line(_SIDE, 18 * mm, _SIDE + _WIDTH, 18 * mm)
            left = f"{document['seller'].splitlines()[0]} · {document['number']}"
            right = words["page"].format(page=page, pages=pages)
            for text, alignment in ((left, 0), (right, TA_RIGHT)):
                note = _text(text, _style(7.5, textColor=_GREY, alignment=alignment))
                note.wrapOn(self, _WIDTH, 10 * mm)
                note.drawOn(self, _SIDE, 13 * mm)
            self.setFillColor(white)

    return Numbered
