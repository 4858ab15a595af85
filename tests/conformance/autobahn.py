"""Runs Autobahn|Testsuite's fuzzing client (`wstest`) against a WebSocket echo, directly or through a bridge to HTTP/2.

Both bridges take WebSockets over HTTP/1.1 and open them over HTTP/2 (RFC 8441): HAProxy and nghttpx. When they agree on
a fault, it is ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT, missing, need
from tests.support.process import free_port

QUICK = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
SLOW = ("9.*", "12.*", "13.*")  # limits, and permessage-deflate in every variant: minutes
LIMIT_S = 3_000.0
AGENT = "headrace"

HAPROXY = """
global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:{front}
  default_backend out
backend out
  server s 127.0.0.1:{back} proto h2 ws h2
"""


@dataclass
class Report:
    """What the cases came to, by their names: `OK`, `NON-STRICT`, `INFORMATIONAL` or `FAILED`, and how they closed."""

    behavior: dict[str, str] = field(default_factory=dict)
    closing: dict[str, str] = field(default_factory=dict)

    def cases(self, *verdicts: str) -> list[str]:
        """The cases with one of these verdicts, of the messages or of the close."""
        return sorted(case for case in self.behavior if {self.behavior[case], self.closing[case]} & set(verdicts))


def wstest() -> str:
    """The program's path: $WSTEST, or where `.ci/install-autobahn` puts it. Without it, see `missing`."""
    candidates = [os.environ.get("WSTEST"), str(ROOT / ".autobahn/venv/bin/wstest"), shutil.which("wstest")]
    found = [each for each in candidates if each and os.access(each, os.X_OK)]
    return found[0] if found else missing("wstest (bash .ci/install-autobahn)")


def run(port: int, cases: Sequence[str]) -> Report:
    """Every case of `cases` against ws://127.0.0.1:`port`/. The report decides, and not the exit code."""
    program = wstest()
    with tempfile.TemporaryDirectory(prefix="autobahn-") as folder:
        spec = Path(folder, "fuzzingclient.json")
        servers = [{"agent": AGENT, "url": f"ws://127.0.0.1:{port}/"}]
        spec.write_text(
            json.dumps(
                {
                    "outdir": folder + "/report",
                    "servers": servers,
                    "cases": list(cases),
                    "exclude-cases": [],
                    "exclude-agent-cases": {},
                }
            )
        )
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [program, "-m", "fuzzingclient", "-s", str(spec)]
        with Path(folder, "log").open("wb") as log:
            subprocess.run(command, stdout=log, stderr=log, timeout=LIMIT_S, check=False, cwd=folder, env=environment)
        index = Path(folder, "report/index.json")
        assert index.exists(), Path(folder, "log").read_text("utf-8", "replace")[-2_000:]
        found = json.loads(index.read_text())[AGENT]
    return Report(
        {case: each["behavior"] for case, each in found.items()},
        {case: each["behaviorClose"] for case, each in found.items()},
    )


@contextlib.contextmanager
def bridge(name: str, back: int) -> Iterator[int]:
    """A bridge from HTTP/1.1 to HTTP/2 in front of port `back`; its own port. `none` is no bridge."""
    if name == "none":
        yield back
        return
    front = free_port()
    with tempfile.TemporaryDirectory(prefix="bridge-") as folder:
        if name == "haproxy":
            config = Path(folder, "haproxy.cfg")
            config.write_text(HAPROXY.format(front=front, back=back))
            command = [need("haproxy"), "-db", "-f", str(config)]
        else:
            command = [need("nghttpx"), "--conf=/dev/null", "--workers=1"]
            command += [f"--frontend=127.0.0.1,{front};no-tls", f"--backend=127.0.0.1,{back};;proto=h2"]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_open(front, process, Path(folder, "log"))
            yield front
        finally:
            process.terminate()
            process.wait(10)


def wait_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when somebody listens. Raises RuntimeError with the log when nobody does."""
    end = time.monotonic() + 10.0
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the bridge did not start:\n{log.read_text('utf-8', 'replace')[-1_000:]}")
