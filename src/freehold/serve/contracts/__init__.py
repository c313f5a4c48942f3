"""The contracts in which clients ask: each file of this package that has a CONTRACT is one.

A contract says which paths are its own, which model a request means, how a body becomes inputs, how
answers become bytes and headers, and how errors look. Nothing else has to know it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from freehold.serve.contracts.base import Contract

__all__ = ["contract_at", "contracts"]


@functools.cache
def contracts() -> tuple[Contract, ...]:
    """All of them; the one most asked comes first."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        contract = getattr(importlib.import_module(f"{__name__}.{module.name}"), "CONTRACT", None)
        if isinstance(contract, Contract):
            found.append(contract)
    return tuple(sorted(found, key=lambda contract: (contract.order, contract.prefix)))


def contract_at(path: str) -> Contract:
    """The contract whose shape an error at this path has; the first one's where it is nobody's."""
    for contract in contracts():
        if path.startswith(contract.prefix):
            return contract
    return contracts()[0]
