"""WSGI (PEP 3333): its applications run in threads, their requests and responses on the event loop."""
