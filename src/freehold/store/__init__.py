"""Store: one database behind one small connector, and files by their content."""
