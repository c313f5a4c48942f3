"""The command line: one verb a file, in the order of the way."""
