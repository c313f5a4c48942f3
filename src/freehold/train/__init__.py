"""Train: from labelled examples to a checkpoint, by one recipe and one loop."""
