"""Where the ASGI transport was before `headrace.client.testing`; both paths work."""

from headrace.client.testing.asgi import ASGIResponse, ASGITransport, ClientGone, LifespanError

__all__ = ["ASGIResponse", "ASGITransport", "ClientGone", "LifespanError"]
