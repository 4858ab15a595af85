"""Sockets, TLS and timers under the engines of both protocols, for the server and the client."""
