"""Files to clients that do not read: the more there are, the less is read of each."""

from __future__ import annotations

import pytest

from headrace.server.files import response as file


def test_what_is_read_of_all_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    total = 0
    for count in range(1, 2_001):
        monkeypatch.setattr(file, "_under_way", count)
        size = file._chunk()
        assert file.LEAST <= size <= file.CHUNK
        total += 2 * size  # one that waits for its client, one read ahead
    assert total < 160 * 2**20  # twenty connections of a hundred streams; it was 500 MiB
    monkeypatch.setattr(file, "_under_way", 100)
    assert file._chunk() == file.CHUNK
