"""The ladder: models of rising effort on one dev set, and the cheapest that is good enough."""
