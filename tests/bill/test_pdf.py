"""The printed invoice: it says what the document says, in any script, with the same bytes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pypdf import PdfReader
from venture import GROWTH, ISSUER, PLAIN, Venture, time

from freehold.bill.files import write_invoice
from freehold.bill.invoices import get
from freehold.bill.pdf import render
from freehold.errors import IntegrityError, StoreError
from freehold.project import PlanTerms, Tier
from freehold.store import schema


def pages(content: bytes) -> list[str]:
    reader = PdfReader(io.BytesIO(content))
    assert all(
        (round(float(page.mediabox.width)), round(float(page.mediabox.height))) == (595, 842)
        for page in reader.pages
    )
    return [page.extract_text() for page in reader.pages]


def test_it_states_who_what_and_how_much(shop: Venture) -> None:
    shop.issuer = ISSUER
    shop.add(plan=GROWTH, starts="2026-11-07")
    shop.use(500, tokens=75000)
    (page,) = pages(render(shop.bill().document()))
    for text in (
        "Interim invoice",
        "INV-2026-000001",
        "Example Texts Ltd",
        "1 Canal Street",
        "North Bank",
        "cus_North Bank",
        "November 2026",
        "2026-11-20",
        "Base fee, November 2026 (24 of 30 days)",
        "79.20",
        "Tokens from 6,001 on",
        "69,000",
        "0.0013",
        "89.70",
        "179.40",
        "VAT 19 %",
        "34.09",
        "213.49 EUR",
        "Later usage of this period is on a further invoice.",
        "Page 1 of 1",
    ):
        assert text in page
    assert "Final for this period" not in page


def test_a_final_further_invoice_says_so_and_no_tax_is_no_tax_line(shop: Venture) -> None:
    shop.add()
    shop.bill()
    shop.use(200)
    shop.clock.at = time("2026-12-01")
    (page,) = pages(render(shop.bill().document()))
    assert "Interim" not in page
    assert "Final for this period: all usage recorded up to 2026-12-01 00:00 UTC." in page
    assert "Invoice 2 of this period" in page
    assert "VAT" not in page


def test_the_same_document_is_the_same_bytes(shop: Venture) -> None:
    shop.add()
    document = shop.bill().document()
    assert render(document) == render(document)


def test_names_in_many_scripts_can_be_read_back(shop: Venture) -> None:
    shop.issuer = replace(PLAIN, seller="Łódź Słów & Syn <S.A.>\nulica Źródlana 1")
    names = [
        "北方银行股份有限公司",
        "Çağrı Şirketi Iğdır",
        "Žluťoučký kůň",
        "서울은행",
        "Банк",
        "ĒĶļģū",
    ]
    for name in names:
        shop.add(name)
        (page,) = pages(render(shop.bill(name).document()))
        flat = page.replace("\n", "")
        assert name.replace(" ", "") in flat.replace(" ", "")
        assert "Łódź Słów & Syn <S.A.>" in page
        assert "ulica Źródlana 1" in page


def test_a_character_that_no_font_has_is_a_question_mark(shop: Venture) -> None:
    shop.add("Smile 😀 Ltd")
    (page,) = pages(render(shop.bill("Smile 😀 Ltd").document()))
    assert "Smile ? Ltd" in page


def test_a_chinese_invoice(shop: Venture) -> None:
    shop.issuer = replace(PLAIN, language="zh", seller="上海示例文本有限公司")
    shop.add("北方银行", plan=GROWTH)
    (page,) = pages(render(shop.bill("北方银行").document()))
    for text in ("中期账单", "上海示例文本有限公司", "基本费，2026年11月", "合计", "99.00 EUR"):
        assert text in page


def test_many_lines_take_several_pages_with_the_header_on_each(shop: Venture) -> None:
    tiers = tuple(Tier(10 * n, Decimal("0.01")) for n in range(1, 90))
    shop.add(plan=PlanTerms(name="fine", tiers=(*tiers, Tier(None, Decimal("0.01")))))
    shop.use(1000)
    found = pages(render(shop.bill().document()))
    assert len(found) > 2
    for number, page in enumerate(found, start=1):
        assert f"Page {number} of {len(found)}" in page
        assert "Unit price (EUR)" in page
    assert "10.00 EUR" in found[-1]


def test_the_longest_name_fits(shop: Venture) -> None:
    shop.add("W" * 200)
    assert len(pages(render(shop.bill("W" * 200).document()))) == 1


def test_files_are_written_once_and_the_json_has_the_invoices_digest(
    shop: Venture, tmp_path: Path
) -> None:
    shop.add()
    invoice = shop.bill()
    document, pdf = write_invoice(invoice, tmp_path / "invoices")
    assert [path.name for path in (document, pdf)] == [
        "INV-2026-000001.json",
        "INV-2026-000001.pdf",
    ]
    assert hashlib.sha256(document.read_bytes()).hexdigest() == invoice.digest
    before = pdf.stat().st_ino
    pdf_again = write_invoice(invoice, tmp_path / "invoices")[1]
    assert pdf_again.stat().st_ino == before
    assert sorted(p.name for p in (tmp_path / "invoices").iterdir()) == [document.name, pdf.name]


def test_a_changed_invoice_is_not_printed(shop: Venture, tmp_path: Path) -> None:
    shop.add()
    shop.bill()
    shop.run(schema.invoices.update().values(document="{}"))
    with pytest.raises(IntegrityError, match="not what was recorded"):
        write_invoice(get(shop.database, "INV-2026-000001"), tmp_path / "invoices")
    assert not (tmp_path / "invoices").exists()


def test_a_folder_that_cannot_be_written_gets_a_sentence(shop: Venture, tmp_path: Path) -> None:
    shop.add()
    (tmp_path / "invoices").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        write_invoice(shop.bill(), tmp_path / "invoices")
