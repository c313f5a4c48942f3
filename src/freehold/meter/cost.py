"""The measured cost of each answer: a batch's time, shared out among its inputs by tokens.

The server does it, since the shares are recorded before the answers leave; others find it here.
"""

from __future__ import annotations

from freehold.serve.shares import apportion

__all__ = ["apportion"]
