"""`headrace get`."""
