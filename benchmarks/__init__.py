"""Benchmarks: `race` puts servers side by side, `memory` weighs idle connections, `micro` times the
engine and a server's connections, `gate` counts their instructions and compares them with the commit before."""
