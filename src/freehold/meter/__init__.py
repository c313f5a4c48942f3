"""Meter: one usage event per answered request, durable before the answer leaves."""
