"""The command line: `headrace serve` and what else helps a person. Nothing else in headrace imports from here."""
