"""Micro benchmarks with pyperf: `suite` has the cases, `python -m benchmarks.micro` compares the builds."""
