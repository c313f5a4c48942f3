"""Pretraining: going on with a checkpoint on unlabelled texts, before a task is learnt."""
