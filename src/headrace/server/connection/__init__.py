"""One connection, and the requests on it."""
