"""The parts of a connection: each owns its numbers, and none refers to the connection."""
