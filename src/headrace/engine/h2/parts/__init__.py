"""Parts of a connection: each owns its numbers, knows nothing of the connection, and is tested alone."""
