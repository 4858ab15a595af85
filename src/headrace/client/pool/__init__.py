"""Which connection a request takes, and who waits for one."""
