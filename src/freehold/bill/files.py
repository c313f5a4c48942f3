"""Invoices as files: the JSON document as it was hashed, and the PDF made from it."""

from __future__ import annotations

from pathlib import Path

from freehold.bill.invoices import Invoice
from freehold.store.files import write_bytes

__all__ = ["FOLDER", "write_invoice", "write_pdf"]

FOLDER = "invoices"
"""Where a project keeps them, beside freehold.toml."""


def write_invoice(invoice: Invoice, folder: Path) -> tuple[Path, Path]:
    """Write NUMBER.json and NUMBER.pdf; files that are there already keep their bytes.

    `sha256sum` of the JSON file is the invoice's digest. Raises StoreError, IntegrityError.
    """
    document, pdf = folder / f"{invoice.number}.json", folder / f"{invoice.number}.pdf"
    write_pdf(invoice, pdf)  # first, since it checks the digest
    _write(document, invoice.text.encode())
    return document, pdf


def write_pdf(invoice: Invoice, path: Path) -> Path:
    """Write the PDF; raises StoreError, and IntegrityError for a document that was changed."""
    from freehold.bill.pdf import render

    _write(path, render(invoice.document()))
    return path


def _write(path: Path, content: bytes) -> None:
    if not (path.is_file() and path.read_bytes() == content):
        write_bytes(path, content)
