"""What sessions are played against: one application for headrace, Go and Node, files for nghttpd; and clients."""
