"""The server. Its names are in `headrace`; `headrace.server.middleware` and `headrace.server.telemetry` are public."""
