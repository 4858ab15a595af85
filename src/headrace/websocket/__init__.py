"""The WebSocket of server and client: its turns, its memory, its pings."""
