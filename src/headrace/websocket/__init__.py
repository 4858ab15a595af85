"""A WebSocket, as server and client have it: its turns, its memory, its pings."""
