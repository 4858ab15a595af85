"""Large content does not cause page faults again and again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headrace.client.connection import heap


def test_a_block_is_mapped_once_a_size_and_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_expected", 0)
    seen = []
    for size in (70_000, 65_536, 1_048_576, 500_000, 10_000_000, 2**40):
        heap.expect(size)
        seen.append(heap._expected)
    assert seen == [1_120_000, 1_120_000, 16_777_216, 16_777_216, 16_777_216, 16_777_216]


COUNT = """
import resource
from headrace.client.connection import heap
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
heap.expect(1_048_576)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults")
def test_the_block_is_never_touched() -> None:
    """It would have 4,096 pages; the interpreter needs a few of its own meanwhile. The test runs in a process of its
    own: one that has freed as large a block before takes it from the heap, and clears it."""
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400
