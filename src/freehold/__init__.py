"""Freehold: from a file of labelled texts to a paid answer and its margin."""

__version__ = "0.1.0"
