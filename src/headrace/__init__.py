"""HTTP/2 for Python."""
