"""Transports without a network: an ASGI application in the process, and scripted answers."""
