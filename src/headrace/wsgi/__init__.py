"""WSGI (PEP 3333): applications run in threads, their requests and responses on the event loop."""
