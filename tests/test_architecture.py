"""The house rules of ARCHITECTURE.md that a machine can hold: which imports run down, how much a reader has to hold."""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "headrace"
MODULES = sorted(SRC.rglob("*.py"))
FILES = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]

# A room may import itself and the rooms named here: engine ← transport ← {server, client} ← {asgi, proxy ...} ← cli.
BELOW = {
    "engine": set(),
    "testing": {"engine"},
    "transport": {"engine"},
    "websocket": {"engine", "transport"},
    "server": {"engine", "transport", "websocket"},
    "client": {"engine", "transport", "websocket"},
    "asgi": {"engine", "transport", "websocket", "server"},
    "wsgi": {"engine", "transport", "server"},
    "bus": {"engine", "transport", "server"},
    "proxy": {"engine", "transport", "websocket", "server", "client"},
    "pytest_plugin": {"engine", "transport", "server", "client"},
}
TOP = {"cli", "demo", "__init__", "__main__"}  # these may import everything below; the demo is an app, beside the cli
PROTOCOLS = {"h1", "h2", "ws"}
COMPILED_OUTSIDE = {"asgi/answer.py"}  # setup.py compiles it together with the engine
NO_IO = {
    "asyncio",
    "logging",
    "os",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
}
LONGEST = 400
TYPICAL = 150
MOST_FILES = 16
# Longer files, each with the length that it may not exceed. They can only get shorter.
LONG_FILES = {
    "tests/asgi/test_http.py": 439,
    "tests/cli/bench/test_bench.py": 451,
    "tests/cli/get/test_get.py": 478,
    "tests/client/calls/test_auth.py": 458,
    "tests/client/calls/test_websocket.py": 605,
    "tests/client/connection/test_driver_failures.py": 627,
    "tests/client/connection/test_driver_lifecycle.py": 410,
    "tests/client/connection/test_exchange_responses.py": 415,
    "tests/client/pool/test_network.py": 551,
    "tests/client/pool/test_network_replay.py": 474,
    "tests/client/support/peer.py": 454,
    "tests/client/testing/test_asgi_transport.py": 563,
    "tests/client/testing/test_httpx_transports.py": 570,
    "tests/engine/rfc9112/test_client_requests.py": 408,
    "tests/engine/rfc9112/test_client_responses.py": 432,
    "tests/engine/rfc9112/test_s06_3_responses.py": 542,
    "tests/engine/rfc9112/test_s09_connections.py": 525,
    "tests/engine/rfc9113/test_s05_2_flow_control.py": 462,
    "tests/lawful/peers.py": 477,
    "tests/security/client/test_types.py": 410,
    "tests/security/test_exhaustion.py": 413,
    "tests/security/test_http1.py": 423,
    "tests/server/files/test_static.py": 758,
    "tests/server/handlers/test_loop.py": 479,
    "tests/server/handlers/test_websocket.py": 691,
    "tests/server/middleware/test_compression.py": 412,
    "tests/server/routing/test_router.py": 750,
    "tests/transport/test_proxy_protocol.py": 468,
    "tests/transport/test_websocket_intake.py": 440,
    "tests/traps/test_client_traps.py": 406,
    "tests/traps/test_engine_traps.py": 420,
    "tests/traps/test_server_traps.py": 402,
    "tests/turns/wsgi/test_spool.py": 473,
    "tests/turns/wsgi/test_threads.py": 647,
    "tests/wsgi/test_serving.py": 488,
}


def imported(path: Path) -> Iterator[str]:
    """The absolute dotted names that a module imports, wherever in it the import stands."""
    package = ["headrace", *path.relative_to(SRC).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_imports_only_what_lies_below_its_room(path: Path) -> None:
    here = room(path)
    assert here in BELOW or here in TOP, f"{here} is a new room: give it its place in BELOW"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "headrace" and here not in TOP:
            target = parts[1] if len(parts) > 1 else "__init__"
            assert target == here or target in BELOW[here], f"{path} imports {name}"
        if path.relative_to(SRC).as_posix() in COMPILED_OUTSIDE:
            assert parts[0] not in NO_IO, f"{path} imports {name}: it is compiled with the engine, and as free of I/O"
        if here == "engine":
            assert parts[0] not in NO_IO, f"{path} imports {name}: the engine touches no I/O, clock or randomness"
            own = PROTOCOLS & set(path.relative_to(SRC).parts)
            assert not own or not (PROTOCOLS - own) & set(parts[2:3]), f"{path} imports {name}: another protocol"


# -- what a reader can hold: files that are read whole, folders that are seen at a glance


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_enough_to_be_read_whole(path: Path) -> None:
    lines, name = lines_of(path), path.relative_to(ROOT).as_posix()
    assert lines <= LONG_FILES.get(name, LONGEST), f"{name} has {lines} lines: split it by topic, or by RFC section"


@pytest.mark.parametrize("name", LONG_FILES)
def test_the_list_of_long_files_gets_shorter(name: str) -> None:
    path = ROOT / name
    assert path.exists() and lines_of(path) > LONGEST, f"{name} is short, or gone: take it off LONG_FILES"


def test_files_are_short_on_the_whole() -> None:
    median = statistics.median(lines_of(path) for path in FILES)
    assert median <= TYPICAL, f"the median file has {median} lines"


def test_a_folder_has_few_files() -> None:
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in FILES)
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


# -- inside a room: which sub-room may import which

# A room's sub-rooms, and the modules at its root, from the bottom to the top: each may import those that stand before
# it. Imports for the type checker alone (TYPE_CHECKING) count as others do: a reader has to know them just as well.
ORDER = {
    "engine": "build causes errors text message limits hpack fields server_names budget events contract timed"
    " fixed_fields head_cache h1 h2 ws detection",
    "server": "errors open_limit request_id content_coding settings connection handlers routing files middleware"
    " telemetry interface lifecycle app",
    "client": "timeouts interface errors deadline loop_thread message connection connect pool calls client sync api"
    " testing transports",
    "cli": "errors version figures terminal stdin exits interrupt process target request_options serve bench get main",
}

Arrow = tuple[str, str]


def dotted(path: Path) -> str:
    """Return a module's name below `headrace`; a package has its folder's."""
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def arrows() -> dict[Arrow, bool]:
    """Return which modules of ours import which, and whether that is for the type checker alone."""
    found: dict[Arrow, bool] = {}
    names = {dotted(path) for path in MODULES}
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            wanted: list[str] = []
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                wanted = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in wanted:
                target = name.removeprefix("headrace.") if name.startswith("headrace.") else ""
                while target and target not in names:
                    target = target.rpartition(".")[0]
                if target and target != dotted(path):
                    arrow = (dotted(path), target)
                    found[arrow] = id(node) in typing and found.get(arrow, True)
    return found


ARROWS = arrows()


def circles(given: set[Arrow]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or by others."""
    left = given
    while True:  # what nothing leads to, or what leads nowhere, is in no circle
        sources, targets = {source for source, _ in left}, {target for _, target in left}
        kept = {(source, target) for source, target in left if source in targets and target in sources}
        if kept == left:
            break
        left = kept
    groups = []
    members = {source for source, _ in left}
    while members:
        one = min(members)
        onward, back = reached(one, left), reached(one, {(target, source) for source, target in left})
        group = (onward & back) | {one}
        if len(group) > 1:
            groups.append(sorted(group))
        members -= group
    return groups


def reached(start: str, given: set[Arrow]) -> set[str]:
    """Return the modules that `start` comes to along the arrows."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        here = ahead.pop()
        following = {target for source, target in given if source == here} - found
        found |= following
        ahead += following
    return found


def place(module: str) -> tuple[str, str]:
    """Return a module's room, and where in the room it stands: the sub-room, or its own name at the room's root."""
    here, _, rest = module.partition(".")
    return here, rest.partition(".")[0] or "__init__"


def test_no_modules_import_each_other_in_a_circle_at_run_time() -> None:
    assert circles({arrow for arrow, is_typing in ARROWS.items() if not is_typing}) == []


def test_imports_for_the_type_checker_close_no_circle_either() -> None:
    """A module that needs only the type of one above it declares a Protocol instead."""
    assert circles(set(ARROWS)) == []


def test_a_circle_is_found() -> None:
    """The control: a circle of three with a tail at each end, beside an arrow of its own."""
    given = {("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e"), ("x", "y")}
    assert circles(given) == [["b", "c", "d"]]
    assert circles(given - {("d", "b")}) == []


@pytest.mark.parametrize("here", ORDER)
def test_inside_a_room_every_import_runs_down(here: str) -> None:
    order = [*ORDER[here].split(), "__init__"]  # the package offers names from all of it, and is asked by none
    there = {place(dotted(path))[1] for path in MODULES if room(path) == here}
    assert set(order) == there | {"__init__"}, (
        f"each sub-room and module of {here} has one place in ORDER: {set(order) ^ there}"
    )
    for source, target in sorted(ARROWS):
        if place(source)[0] == here == place(target)[0] and place(source) != place(target):
            assert order.index(place(target)[1]) < order.index(place(source)[1]), f"{source} imports {target}: upwards"
