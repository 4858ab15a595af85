"""The sans-I/O protocol engine: bytes in, events out; no sockets, no clock, no asyncio."""
