"""Transports for httpx and httpx2, and the former paths of the transports for tests."""
