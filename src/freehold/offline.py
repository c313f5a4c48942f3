"""Keeps libraries from reporting their use to their makers: nothing goes online unasked.

`import openvino` alone sends an event (2026.4 does so from openvino.tools.ovc, unless a file in the
user's home forbids it), and NNCF sends one for each call. Both go through openvino-telemetry, and
both do without it where it is not installed.
"""

from __future__ import annotations

import sys

__all__ = ["keep_silent"]


def keep_silent() -> None:
    """From now on openvino-telemetry cannot be imported in this process. To be called before
    OpenVINO or NNCF is imported."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python blocks one
