"""The command `headrace get`."""
