"""Files as answers: a folder that is served, what a request may ask of a file, and how its octets leave."""
