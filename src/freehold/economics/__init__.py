"""Economics: what each answer cost, what it earned, and which version, customer and plan pays."""
