"""Reads messages: heads, field lines, chunks."""
