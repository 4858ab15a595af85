"""The command `headrace bench`."""
