"""Search: trials of a recipe's knobs, guided by the dev score, within a budget."""
