"""The pool: it chooses a connection for each request, and keeps the queue of those that wait."""
