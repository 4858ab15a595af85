"""A reverse proxy as a native handler: the server receives requests, and the client forwards them."""

from headrace.proxy.reverse_proxy import ReverseProxy

__all__ = ["ReverseProxy"]
