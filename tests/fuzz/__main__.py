"""`python -m tests.fuzz TARGET`: looks for inputs that break a target.

With atheris (PyPI), coverage of headrace guides it; without, inputs are mutations by chance of the corpus. An input
that breaks the target is kept in tests/fuzz/found/TARGET, where `make test` runs it. With --twin, each input is also
played by the compiled engine that is installed, and has to look the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "target",
        nargs="?",
        help="a module in tests/fuzz/targets, or `all`, one after the other; none lists them",
    )
    parser.add_argument("--time", type=float, default=60.0, help="seconds for each target (60)")
    parser.add_argument("--input", help="play this input alone: a file, or hexadecimal; - is the empty one")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of what goes by chance (the time)")
    parser.add_argument("--plain", action="store_true", help="do without atheris")
    parser.add_argument("--twin", action="store_true", help="compare with the compiled engine that is installed")
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz"), help="folder of what atheris finds worth keeping")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the HPACK encoder's filter goes by hashes: runs have to be alike
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.fuzz", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    if options.target is None:
        list_targets()
        return
    if options.target == "all":
        sys.exit(run_all(sys.argv[1:]))
    run(options)


def list_targets() -> None:
    """Print each target's name, and the first line of its docstring."""
    from tests.fuzz import running

    for name in running.names():
        print(f"{name:16} {(running.load(name).__doc__ or '').splitlines()[0]}")


def run_all(arguments: list[str]) -> int:
    """Run each target in a process of its own; return 1 where one of them broke."""
    from tests.fuzz.running import names

    broken = []
    for name in names():
        print(f"-- {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", *(name if each == "all" else each for each in arguments)]
        if os.spawnv(os.P_WAIT, sys.executable, command):
            broken.append(name)
    print(f"broken: {', '.join(broken)}" if broken else f"{len(names())} targets hold")
    return 1 if broken else 0


def run(options: argparse.Namespace) -> None:
    """Run one target."""
    has_atheris = importlib.util.find_spec("atheris") is not None and not options.plain and options.input is None
    if has_atheris:
        import atheris

        with atheris.instrument_imports(include=["headrace"], enable_loader_override=False):
            from tests.fuzz import running

            module = running.load(options.target)
    else:
        from tests.fuzz import running

        module = running.load(options.target)
    play: Callable[[bytes], None] = module.target
    if options.twin and hasattr(module, "story"):
        from tests.fuzz.twin import Twin

        twin = Twin(options.target)

        def play(data: bytes) -> None:
            module.target(data)
            twin.compare(data, module.story(data))

    if options.input is not None:
        play(input_of(options.input))
        print("it holds")
    elif has_atheris:
        with_atheris(options, telling(options, play))
    else:
        without_atheris(options, telling(options, play))


def input_of(text: str) -> bytes:
    """Return the input that the command line names."""
    if Path(text).is_file():
        return Path(text).read_bytes()
    return b"" if text == "-" else bytes.fromhex(text)


def telling(options: argparse.Namespace, play: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return a `play` that says, where an input breaks the target, how to play that again."""
    from tests.fuzz import running

    def told(data: bytes) -> None:
        try:
            play(data)
        except Exception:
            print(running.again(options.target, data, twin=options.twin), file=sys.stderr, flush=True)
            raise

    return told


def with_atheris(options: argparse.Namespace, play: Callable[[bytes], None]) -> None:
    """Let libFuzzer choose the inputs. It ends the process, with an error when the target broke."""
    import atheris

    from tests.fuzz import running

    folder = options.corpus / options.target
    folder.mkdir(parents=True, exist_ok=True)
    keep = running.FOUND / options.target
    keep.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(running.corpus(options.target)):
        (folder / f"seed-{number}").write_bytes(data)
    atheris.Setup(
        [
            sys.argv[0], str(folder), f"-max_total_time={max(1, round(options.time))}",
            f"-max_len={running.longest(options.target)}", f"-artifact_prefix={keep}/",
            f"-seed={options.seed}", "-timeout=30", "-print_final_stats=1", "-len_control=0",
        ],
        play,
    )  # fmt: skip
    atheris.Fuzz()


def without_atheris(options: argparse.Namespace, play: Callable[[bytes], None]) -> None:
    """Play the corpus and mutations of it until the time is over."""
    from tests.fuzz import running

    end = time.monotonic() + options.time
    runs = 0
    seed = options.seed
    inputs = iter(running.corpus(options.target))
    while time.monotonic() < end:
        data = next(inputs, None)
        if data is None:
            seed += 1
            inputs = running.mutations(options.target, 1_000, seed)
            continue
        try:
            play(data)
        except Exception:
            print(f"kept as {running.keep(options.target, data)}", file=sys.stderr)
            raise
        runs += 1
    print(f"{options.target}: {runs} runs in {options.time:.0f} s, without atheris")


if __name__ == "__main__":
    main()
