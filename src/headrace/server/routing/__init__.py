"""Routes of native handlers: patterns, the table that is built of them, and the router that looks into it."""
