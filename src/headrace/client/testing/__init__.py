"""Transports without a network: an ASGI application in the same process, and scripted answers."""
