"""Encodings: found, named, said when concluded, refused with the place when they cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.data.encoding import decode
from freehold.errors import DataError

FILE = Path("train.csv")
CHINESE = "text,label\n我的卡丢了，怎么办？,lost_card\n请问什么时候可以到账,arrival\n"
WESTERN = "text,label\nLe café est très bon,positive\n“C’était déçu” – 5 €,negative\n"


@pytest.mark.parametrize(
    ("text", "codec", "named"),
    [
        ("", "utf-8", "utf-8"),
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "utf-8-sig", "utf-8-sig"),
        (CHINESE, "utf-16", "utf-16-le"),
        (CHINESE, "utf-32", "utf-32-le"),
        (WESTERN + "\r\nx", "utf-16", "utf-16-le"),
    ],
)
def test_unicode_is_read_without_remark(text: str, codec: str, named: str) -> None:
    decoded = decode(text.encode(codec), FILE)
    assert (decoded.text, decoded.encoding, decoded.note) == (text, named, None)


def test_big_endian_utf16() -> None:
    decoded = decode(b"\xfe\xff" + CHINESE.encode("utf-16-be"), FILE)
    assert (decoded.text, decoded.encoding) == (CHINESE, "utf-16-be")


@pytest.mark.parametrize(
    ("text", "codec", "named"),
    [
        (CHINESE, "gb18030", "gb18030"),
        ("卡丢了怎么办,lost\n", "gbk", "gb18030"),
        (WESTERN, "cp1252", "cp1252"),
        ("¿Dónde está mi tarjeta?", "latin-1", "cp1252"),
        ("one naïve word in an English text", "latin-1", "cp1252"),
        ("カードを失くしました。どうすればいいですか\n" * 3, "shift_jis", "cp932"),
        ("오늘 날씨가 좋습니다 카드 분실 신고\n" * 3, "euc_kr", "cp949"),
        ("Привет, как дела сегодня? Где моя карта\n" * 4, "cp1251", "cp1251"),
    ],
)
def test_other_encodings_are_concluded_and_said(text: str, codec: str, named: str) -> None:
    decoded = decode(text.encode(codec), FILE)
    assert (decoded.text, decoded.encoding) == (text, named)
    assert decoded.note is not None
    assert decoded.note.startswith("read as")


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Příliš žluťoučký kůň úpěl ďábelské ódy\n" * 3, "cp1250"),
        ("Zażółć gęślą jaźń, proszę o zwrot pieniędzy\n" * 3, "cp1250"),
        ("Kartımı kaybettim, ne yapmalıyım şimdi\n" * 3, "cp1254"),
        ("Καλημέρα σας, έχασα την κάρτα\n", "cp1253"),
        ("שלום מה שלומך\n" * 4, "cp1255"),
        ("สวัสดีครับ บัตรหาย\n" * 4, "cp874"),
    ],
)
def test_what_cannot_be_told_is_refused_and_not_read_as_nonsense(text: str, codec: str) -> None:
    with pytest.raises(
        DataError, match=r"line 1: the byte 0x.. at offset .* no other encoding"
    ) as e:
        decode(text.encode(codec), FILE)
    assert "UTF-8" in (e.value.hint or "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("naïve café à la\nhello ".encode() + b"\xff\n", "line 2: the byte 0xFF at offset 25"),
        ("a\nb\nçà".encode()[:-1], "line 3: the byte 0xC3 at offset 6"),
        ("é\n".encode("utf-8-sig") + b"\xff", "line 2: broken UTF-8 at byte offset 6"),
        ("héllo\n".encode("utf-16") + b"a", "line 2: broken UTF-16-LE at byte offset 14"),
        (b"a,b\n1,\x00\n", "line 2: there is a NUL byte at offset 6"),
        ("a\x00b".encode("utf-16"), "line 1: there is a NUL character"),
        ("text,label".encode("utf-16-le"), "UTF-16 without its byte order mark"),
        (b"PK\x03\x04rest", "is a zip archive or an Excel workbook"),
        (b"\x1f\x8b\x08rest", "is compressed with gzip"),
    ],
)
def test_broken_and_binary_files_get_a_sentence(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        decode(data, FILE)
    assert message in error.value.message
    assert "train.csv" in error.value.message
    assert error.value.hint


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_a_sentence(data: bytes) -> None:
    try:
        decoded = decode(data, FILE)
    except DataError:
        return
    assert "\x00" not in decoded.text
    assert decoded.text.encode(decoded.encoding.removesuffix("-sig")) in (
        data,
        data.removeprefix(b"\xef\xbb\xbf"),
        data[2:],
        data[4:],
    )
