"""Batches: a JSONL file of requests that are answered when there is room, metered line by line."""
