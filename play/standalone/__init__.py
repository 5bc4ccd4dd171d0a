"""A task's policy in one file that needs nothing of this package to play: `program` writes it, `policy` plays it."""
