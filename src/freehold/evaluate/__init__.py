"""Evaluate: what a model gets right, how sure that is, how far its confidence can be trusted."""
