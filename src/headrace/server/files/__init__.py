"""Files as answers: a served folder, conditional requests and ranges, and the ways to send a file's bytes."""
