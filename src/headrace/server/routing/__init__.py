"""Routes of native handlers: patterns, the routing table, and the router that uses it."""
