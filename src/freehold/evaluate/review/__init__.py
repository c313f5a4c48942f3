"""A look at the data before learning from it: likely label errors, and what to label next."""
