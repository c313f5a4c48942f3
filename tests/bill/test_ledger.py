"""The ledger: balanced, booked once, only ever reversed."""

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from venture import Venture, time

from freehold.bill.ledger import Posting, find_entry, post, reverse, trial_balance
from freehold.errors import ConflictError, InputError, NotFoundError
from freehold.store.database import Database

AT = time("2026-11-20")
SALE = (Posting("receivable", 119, "EUR"), Posting("revenue", -100, "EUR", "cus_1", 40),
        Posting("tax_payable", -19, "EUR"))  # fmt: skip


def test_an_entry_is_booked_once_by_its_key(venture: Venture) -> None:
    for _ in range(3):
        with venture.database.write() as connection:
            entry = post(connection, "sale:1", AT, "a sale", SALE)
    assert entry.postings == SALE
    with venture.database.read() as connection:
        assert find_entry(connection, "sale:1") == entry
        balances = {b.account: b.balance_minor for b in trial_balance(connection)}
    assert balances == {"receivable": 119, "revenue": -100, "tax_payable": -19}


def test_another_booking_under_the_same_key_is_refused(venture: Venture) -> None:
    with venture.database.write() as connection:
        post(connection, "sale:1", AT, "a sale", SALE)
    other = (Posting("receivable", 5, "EUR"), Posting("revenue", -5, "EUR"))
    with (
        pytest.raises(ConflictError, match="sale:1 is already booked"),
        venture.database.write() as connection,
    ):
        post(connection, "sale:1", AT, "a sale", other)


def test_the_transaction_stays_usable_after_a_key_is_met_again(venture: Venture) -> None:
    with venture.database.write() as connection:
        post(connection, "sale:1", AT, "a sale", SALE)
        post(connection, "sale:1", AT, "a sale", SALE)
        post(connection, "sale:2", AT, "a sale", SALE)
    with venture.database.read() as connection:
        assert sum(b.debit_minor for b in trial_balance(connection)) == 238


@pytest.mark.parametrize(
    "postings",
    [
        (),
        (Posting("receivable", 1, "EUR"),),
        (Posting("receivable", 1, "EUR"), Posting("revenue", -1, "USD")),
        (Posting("a", 2, "EUR"), Posting("b", -2, "EUR"), Posting("c", 1, "JPY")),
    ],
)
def test_what_does_not_balance_is_refused(shop: Venture, postings: tuple[Posting, ...]) -> None:
    with (
        pytest.raises(InputError, match=r"not to zero|no postings"),
        shop.database.write() as connection,
    ):
        post(connection, "x", AT, "x", postings)
    with shop.database.read() as connection:
        assert trial_balance(connection) == []


def test_a_reversal_undoes_amounts_and_units_once(venture: Venture) -> None:
    with venture.database.write() as connection:
        post(connection, "sale:1", AT, "a sale", SALE)
        first = reverse(connection, "sale:1", AT, "wrong customer")
        again = reverse(connection, "sale:1", AT, "wrong customer")
        balances = trial_balance(connection)
    assert first == again
    assert first.postings[1] == Posting("revenue", 100, "EUR", "cus_1", -40)
    assert all(balance.balance_minor == 0 for balance in balances)
    assert all(balance.debit_minor > 0 for balance in balances)


def test_what_is_not_booked_cannot_be_reversed(shop: Venture) -> None:
    with pytest.raises(NotFoundError, match="Nothing is booked"), shop.database.write() as c:
        reverse(c, "sale:1", AT, "none")


amounts = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY"])
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(amounts, st.booleans()), max_size=5))
def test_any_history_sums_to_zero_in_each_currency(
    sqlite: Database, history: list[tuple[list[tuple[str, int, str]], bool]]
) -> None:
    with sqlite.write() as connection:
        for number, (lines, undo) in enumerate(history):
            postings = [Posting(account, minor, currency) for account, minor, currency in lines]
            left: dict[str, int] = defaultdict(int)
            for posting in postings:
                left[posting.currency] += posting.amount_minor
            postings += [Posting("rest", -minor, currency) for currency, minor in left.items()]
            key = f"{id(history)}:{number}:{hash(tuple(postings))}"
            post(connection, key, AT, "any", postings)
            if undo:
                reverse(connection, key, AT, "undone")
        sums: dict[str, int] = defaultdict(int)
        for balance in trial_balance(connection):
            sums[balance.currency] += balance.balance_minor
        assert not any(sums.values())
