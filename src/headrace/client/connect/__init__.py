"""New connections: addresses, TLS, proxies."""
