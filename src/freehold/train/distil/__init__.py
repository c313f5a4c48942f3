"""Distil: a small student that answers as its teacher does."""
