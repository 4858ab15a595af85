"""Requests and responses of native handlers."""
