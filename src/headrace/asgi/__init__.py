"""ASGI 3 applications on headrace's server: HTTP and lifespan."""
