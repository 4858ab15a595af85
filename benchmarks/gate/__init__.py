"""The speed gate: `python -m benchmarks.gate` compares the instructions that this tree's cases take with those of the
commit before."""
