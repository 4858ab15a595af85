"""The former path of the ASGI transport, now in `headrace.client.testing`; both paths work."""

from headrace.client.testing.asgi import ASGIResponse, ASGITransport, ClientGone, LifespanError

__all__ = ["ASGIResponse", "ASGITransport", "ClientGone", "LifespanError"]
