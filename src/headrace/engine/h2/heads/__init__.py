"""Heads that are written, and those that were written before."""
