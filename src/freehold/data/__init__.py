"""Data: read any file, check it, describe it."""
