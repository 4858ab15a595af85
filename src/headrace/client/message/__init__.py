"""What requests and responses are made of: URLs, fields, cookies, content."""
