"""How a connection comes about: addresses, TLS, proxies."""
