"""A reverse proxy as a native handler: requests come in by the server, and go on by the client."""

from headrace.proxy.reverse_proxy import ReverseProxy

__all__ = ["ReverseProxy"]
