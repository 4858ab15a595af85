"""Targets and their corpora, and the way to run them without atheris: the corpus, and mutations by a fixed seed."""

from __future__ import annotations

import functools
import hashlib
import importlib
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
FOUND = FOLDER / "found"
LONGEST = 4_096  # bytes of an input, unless the target's module says otherwise


def names() -> list[str]:
    """Return the targets' names: those of the modules in `targets`, the engine's first."""
    return list(_modules())


def _modules() -> dict[str, str]:
    paths = sorted(path.relative_to(FOLDER) for path in FOLDER.glob("targets/*/*.py") if path.stem != "__init__")
    return {path.stem: ".".join(("tests.fuzz", *path.with_suffix("").parts)) for path in paths}


def load(name: str) -> Any:
    """Return a target's module: `target`, `seeds`, and `story` where builds can be compared."""
    modules = _modules()
    if name not in modules:
        raise SystemExit(f"there is no fuzz target {name!r}; there are {', '.join(modules)}")
    return importlib.import_module(modules[name])


def longest(name: str) -> int:
    """Return how many bytes an input of a target may have."""
    return int(getattr(load(name), "LONGEST", LONGEST))


def found(name: str) -> dict[str, bytes]:
    """Return inputs that once broke a target, by their file's name."""
    return {path.name: path.read_bytes() for path in sorted((FOUND / name).glob("*")) if path.is_file()}


def keep(name: str, data: bytes) -> Path:
    """Keep an input that broke a target, for ever; return its file."""
    path = FOUND / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def corpus(name: str) -> list[bytes]:
    """Return a target's seeds, and the inputs that once broke it."""
    return [*_seeds(name), *found(name).values()]


@functools.cache
def _seeds(name: str) -> tuple[bytes, ...]:
    return tuple(load(name).seeds())


def mutations(name: str, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield `count` changed inputs, the same for the same seed."""
    seeds = corpus(name)
    limit = longest(name)
    rnd = random.Random(zlib.crc32(name.encode()) + seed)
    for _ in range(count):
        yield mutate(rnd.choice(seeds), seeds, rnd)[:limit]


def mutate(data: bytes, seeds: list[bytes], rnd: random.Random) -> bytes:
    """Return `data` with bytes changed, lost, doubled or put in, or with another input's end."""
    out = bytearray(data)
    for _ in range(rnd.randrange(1, 6)):
        at = rnd.randrange(len(out) + 1)
        kind = rnd.randrange(5)
        if kind == 0 and out:
            out[at % len(out)] = rnd.randrange(256)
        elif kind == 1:
            del out[at : at + rnd.randrange(8)]
        elif kind == 2:
            out[at:at] = rnd.randbytes(rnd.randrange(8))
        elif kind == 3:
            out[at:at] = out[at : at + rnd.randrange(30)]
        else:
            other = rnd.choice(seeds)
            out[at:] = other[rnd.randrange(len(other) + 1) :]
    return bytes(out)


def again(name: str, data: bytes, *, twin: bool = False) -> str:
    """Return how to play an input again."""
    return f"again: make fuzz TARGET={name} INPUT={data.hex() or '-'}{' FUZZ_ARGS=--twin' if twin else ''}"


def check(name: str, data: bytes) -> None:
    """Run a target on one input. Where that fails, the error says how to run the same again."""
    try:
        load(name).target(data)
    except Exception as error:
        error.add_note(again(name, data))
        raise


def digest(name: str, count: int) -> str:
    """Return one hash over the stories of a target's corpus and of `count` mutations."""
    total = hashlib.sha256()
    module = load(name)
    for data in [*corpus(name), *mutations(name, count)]:
        total.update(module.story(data).encode())
    return total.hexdigest()
