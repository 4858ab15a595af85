"""The command line: `headrace serve` and other commands. Nothing else in headrace imports from here."""
