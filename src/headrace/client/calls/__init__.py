"""The work around a request: redirects, authentication, retries, event streams, WebSockets."""
