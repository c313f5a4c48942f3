"""Attacks on a classifier: small changes of its inputs that turn its answers."""
