"""The parts of a scope that requests share: nobody can change them, and copies are ordinary."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from headrace.asgi.constant import ConstantDict, ConstantList

COPIES: list[Callable[[Any], Any]] = [
    copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it)), lambda it: it.copy(),
]  # fmt: skip


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_is_ordinary_and_can_be_changed(copied: Callable[[Any], Any]) -> None:
    for shared in (ConstantDict({"a": 1}), ConstantList(["a"])):
        own = copied(shared)
        assert own == shared
        assert type(own) in (dict, list)
        own.clear()
        assert shared


@pytest.mark.parametrize(
    "change",
    [
        lambda shared: shared.clear(),
        lambda shared: shared.pop(),
        lambda shared: shared.__setitem__(0, 1),
        lambda shared: shared.__delitem__(0),
    ],
)
def test_it_cannot_be_changed(change: Callable[[Any], Any]) -> None:
    for shared in (ConstantDict({0: 1}), ConstantList(["a"])):  # type: ignore[dict-item] # keys do not matter here
        with pytest.raises(TypeError, match="shared with other requests"):
            change(shared)
