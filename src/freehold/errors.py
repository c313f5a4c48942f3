"""One tree of errors: each says what is wrong, where, and what to do about it.

`status` is the HTTP status the server answers with; the command line exits with 1 for all of them.
A message is one sentence for the user; `hint` is the next step. Neither ever holds a customer's
text or key.
"""

from __future__ import annotations

__all__ = [
    "AuthError",
    "ConflictError",
    "DataError",
    "DeadlineError",
    "ForbiddenError",
    "FreeholdError",
    "InputError",
    "IntegrityError",
    "LimitError",
    "MissingDependencyError",
    "NotFoundError",
    "PaymentError",
    "ProjectError",
    "StoreError",
    "TooLargeError",
    "TrainError",
    "UnavailableError",
]


class FreeholdError(Exception):
    """Something went wrong."""

    status = 500

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.hint = hint

    @property
    def message(self) -> str:
        return str(self.args[0])

    def sentence(self) -> str:
        """Message and hint as one line of text."""
        return f"{self.message} {self.hint}" if self.hint else self.message


class ProjectError(FreeholdError):
    """The project file is not usable."""

    status = 400


class DataError(FreeholdError):
    """The data file is not usable."""

    status = 400


class TrainError(FreeholdError):
    """The training run cannot go on."""

    status = 400


class NotFoundError(FreeholdError):
    """There is no such thing."""

    status = 404


class ConflictError(FreeholdError):
    """The request contradicts what is already recorded."""

    status = 409


class AuthError(FreeholdError):
    """The API key is missing, unknown or revoked."""

    status = 401


class PaymentError(FreeholdError):
    """The wallet is empty."""

    status = 402


class ForbiddenError(FreeholdError):
    """The customer may not do this."""

    status = 403


class InputError(FreeholdError):
    """The request's inputs are not usable."""

    status = 422


class TooLargeError(FreeholdError):
    """The request is larger than this server accepts."""

    status = 413


class LimitError(FreeholdError):
    """Too many requests at once; `retry_after` is in seconds, `headers` say which limit it is."""

    status = 429

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        retry_after: float = 1.0,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.headers = headers


class UnavailableError(FreeholdError):
    """The server cannot answer now; `retry_after` is in seconds."""

    status = 503

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, retry_after: float = 1.0
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class DeadlineError(FreeholdError):
    """The request's time was over before it was begun."""

    status = 504


class StoreError(UnavailableError):
    """The database cannot be reached or refused the change."""


class IntegrityError(FreeholdError):
    """A file's content is not what was recorded for it."""

    status = 500


class MissingDependencyError(FreeholdError):
    """A library that this verb needs is not installed."""

    status = 500

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed.",
            hint=f"Install it with: pip install 'freehold[{extra}]'.",
        )
