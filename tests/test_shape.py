"""How the engine's connections are built: of parts that own their state, or of layers that write each other's.

`python -m tests.test_shape` prints the lists behind the numbers: attribute, the class that defines it, the class that
writes it; then the calls that go up, and the depth of each class.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from tests.support.shape import ClassShape, UpCall, Write, classes_of, foreign_writes, sources, up_calls

CLASSES = classes_of(sources(ROOT / "src" / "headrace" / "engine", "headrace.engine"))


class Shape(NamedTuple):
    """What is counted in a package."""

    written_elsewhere: int
    """Attributes that a class writes through `self` although another class defines them."""
    up_calls: int
    """Methods and properties that a class uses through `self` and only a subclass gives a body to."""
    depth: int
    """Classes of ours in the longest line of bases, `object` not counted."""


# Today's counts. They can only get smaller; a count that is smaller than its number here fails too, so lower it then.
COUNTS = {
    "h1": Shape(
        written_elsewhere=0,
        up_calls=0,
        depth=3,
    ),
    "h2": Shape(
        written_elsewhere=0,
        up_calls=0,
        depth=3,
    ),
    "ws": Shape(
        written_elsewhere=0,
        up_calls=0,
        depth=2,
    ),
}


def classes_in(package: str) -> list[ClassShape]:
    return [shape for shape in CLASSES if shape.module.startswith(f"headrace.engine.{package}.")]


def measure(package: str) -> Shape:
    """Return the counts of a package of the engine."""
    classes = classes_in(package)
    written = {(write.attribute, write.definer) for each in classes for write in foreign_writes(each, CLASSES)}
    calls = [call for each in classes for call in up_calls(each, CLASSES)]
    return Shape(len(written), len(calls), max(len(each.ancestry) for each in classes))


@pytest.mark.parametrize("package", COUNTS)
def test_layers_do_not_grow(package: str) -> None:
    now, most = measure(package), COUNTS[package]
    assert all(count <= limit for count, limit in zip(now, most, strict=True)), (
        f"engine/{package}: {now}, and at most {most} may be: give the state to a part that owns it"
    )


@pytest.mark.parametrize("package", COUNTS)
def test_the_counts_are_true(package: str) -> None:
    assert measure(package) == COUNTS[package], f"engine/{package} got better: lower its numbers in COUNTS"


LAYERS = {
    "engine.base": """
class Base:
    def __init__(self):
        self.ended = False
        self.size = 0

    @property
    def limit(self):
        return self._limit

    @limit.setter
    def limit(self, limit):
        self._limit = limit

    def end(self):
        self.ended = True
        self.on_end()
        self.log()
        self.wanted

    def on_end(self):
        raise NotImplementedError("a subclass knows")

    def log(self):
        "Nothing here."
""",
    "engine.top": """
from engine.base import Base
from elsewhere import Foreign

class Top(Base, Foreign):
    count: int = 0

    def __init__(self):
        super().__init__()
        self.size = 1
        self.own = 2
        self.limit = 3

    def on_end(self):
        self.own = self.late = self.count = 3
        (self.ended, own) = True, 1
        self.part.size += 1
        self.end()

    def log(self):
        return 1

    @property
    def wanted(self):
        return True
""",
}


def test_layers_are_seen() -> None:
    """The control: two classes with all that is counted, and what is not: setters, own attributes, calls down."""
    classes = classes_of(LAYERS)
    base, top = classes
    assert foreign_writes(base, classes) == [Write("_limit", "", "Base")]
    assert foreign_writes(top, classes) == [
        Write("ended", "Base", "Top"),
        Write("late", "", "Top"),
        Write("size", "Base", "Top"),
    ]
    assert up_calls(base, classes) == [UpCall("Base", "log"), UpCall("Base", "on_end"), UpCall("Base", "wanted")]
    assert up_calls(top, classes) == []
    assert [each.name for each in top.ancestry] == ["Top", "Base"]
    assert top.reached == {"part.size"}


def main() -> None:
    """Print the lists."""
    for package in COUNTS:
        print(f"\n== engine/{package}: {measure(package)}")
        for each in classes_in(package):
            for line in foreign_writes(each, CLASSES):
                print(f"   writes {line}")
            for name in sorted(each.reached):
                print(f"   writes {name:24} {'(of a part; not counted)':32} {each.name}")
            for call in up_calls(each, CLASSES):
                print(f"   calls  {call}")
        for each in classes_in(package):
            if len(each.ancestry) > 1:
                print(f"   depth  {len(each.ancestry)}: {' <- '.join(one.name for one in each.ancestry)}")


if __name__ == "__main__":
    main()
