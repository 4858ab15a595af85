"""What happens around a request: redirects, authentication, retries, event streams, WebSockets."""
