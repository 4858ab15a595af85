"""One connection of a client, and the requests on it."""
