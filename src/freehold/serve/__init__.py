"""Serve: an engine without torch, a batcher before it, the Hugging Face contract, thin HTTP."""
