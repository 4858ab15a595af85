"""The parts of a URL: its grammar, its host, its query."""
