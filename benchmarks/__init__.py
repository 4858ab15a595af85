"""Benchmarks: `race` puts servers side by side, `memory` weighs idle connections, `micro` times the engine."""
