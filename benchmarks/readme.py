"""README's figures: written from a file of results, which is kept, so that a test sees that nobody else wrote them.

`python -m benchmarks.readme` writes them again from the kept file, for example after a change of the tables' form.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from benchmarks import results as data
from benchmarks import tables
from benchmarks.results import Results

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
KEPT: Final = ROOT / "benchmarks/readme.json"
BEGIN: Final = "<!-- FIGURES BEGIN: written by make bench from benchmarks/readme.json -->"
END: Final = "<!-- FIGURES END -->"


def block(text: str) -> str:
    """Return what stands between the markers. Raises ValueError when there is not one pair of them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"README needs the lines '{BEGIN}' and '{END}', once, in this order")
    return text.partition(BEGIN)[2].partition(END)[0]


def written(text: str, results: Results) -> str:
    """Return README's text with these figures between the markers."""
    return text.replace(BEGIN + block(text) + END, f"{BEGIN}\n{body(results)}{END}")


def body(results: Results) -> str:
    """Return what belongs between the markers."""
    return "\n".join([*tables.render(results), ""])


def write(results: Results) -> None:
    """Keep these results, and write them into README."""
    text = data.to_text(results)
    KEPT.write_text(text, "utf-8")
    README.write_text(written(README.read_text("utf-8"), data.from_text(text)), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("file", nargs="?", default=str(KEPT), help="results of `make bench` (benchmarks/readme.json)")
    write(data.load(Path(parser.parse_args().file)))


if __name__ == "__main__":
    main()
