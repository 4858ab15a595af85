"""The parts of requests and responses: URLs, header fields, cookies, content."""
