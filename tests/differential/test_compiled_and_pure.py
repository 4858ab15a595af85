"""The pure build is the contract (decision 5): compiled and pure give the same events and the same bytes of output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, amount
from tests.fuzz.twin import first_difference
from tests.support import sessions

SESSIONS, BATCH = amount(3_000, 10_000), 100


def replay(pythonpath: str | None) -> dict[str, Any]:
    """Play the corpus in another process; `pythonpath` puts src/ in front, None leaves what is installed."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["PYTHONHASHSEED"] = "0"  # the HPACK encoder's filter of what it has seen goes by hashes
    if pythonpath is not None:
        env["PYTHONPATH"] = pythonpath
    command = [sys.executable, "-m", "tests.differential.replay", str(SESSIONS), str(BATCH)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def skip_unless_installed_compiled_and_current() -> None:
    """Skip without a compiled install, or when what is installed was made from other sources than src/."""
    ask = "import headrace.engine.h2.connection as c; print(c.__file__)"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True)
    where = done.stdout.strip()
    if done.returncode or not where or where.endswith(".py"):
        pytest.skip("no compiled engine is installed here: `pip install .` with a C compiler makes one")
    differs = first_difference(ROOT / "src/headrace/engine", Path(where).parent.parent)
    if differs is not None:
        pytest.skip(f"the compiled engine is of other sources ({differs} differs): install again")


@pytest.mark.slow
def test_compiled_and_pure_agree() -> None:
    """One corpus of 10,000 sessions, sound and hostile, server and client: equal digests, batch by batch."""
    skip_unless_installed_compiled_and_current()
    compiled = replay(None)
    assert compiled["engine"] and not compiled["engine"].endswith(".py")
    pure = replay(str(ROOT / "src"))
    assert pure["engine"].endswith(".py")
    wrong = [
        n * BATCH for n, pair in enumerate(zip(compiled["digests"], pure["digests"], strict=True)) if len({*pair}) > 1
    ]
    assert wrong == [], f"sessions differ in the batches of {BATCH} that begin at {wrong}"


def test_the_corpus_is_deterministic() -> None:
    """The same seed gives the same session, twice in one process: what is remembered between sessions shows nowhere."""
    assert sessions.digest(0, 200) == sessions.digest(0, 200)


def test_the_corpus_is_worth_its_name() -> None:
    """The corpus reaches every kind of event, so that a comparison says something."""
    seen = {event.split("(")[0] for seed in range(400) for event in sessions.play(seed)[0]}
    wanted = {
        "RequestReceived", "DataReceived", "TrailersReceived", "StreamReset", "SendAccepted", "ResponseReceived",
        "InformationalReceived", "GoAwayReceived", "ConnectionEnded", "PeerFault", "DrainBegan", "PingAcknowledged",
    }  # fmt: skip
    assert wanted <= seen, wanted - seen
