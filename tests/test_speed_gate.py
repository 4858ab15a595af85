"""The speed gate's logic: what is compared with what, and when it fails. `make speed-gate` itself counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate import __main__ as command
from benchmarks.gate import acknowledged, builds, counting, trees
from benchmarks.gate.acknowledged import FileError, Loss
from benchmarks.gate.comparison import compare, table, verdict
from benchmarks.micro import cases
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[1]
CALLGRIND = "==7== Events    : Ir\n==7== Collected : 3051144\n==7==\n==7== I   refs:      3,051,144\n"


# -- the verdict -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "said", "failed"),
    [(1_000, "", False), (1_050, "", False), (1_050.1, "SLOWER", True), (949, "better", False), (951, "", False)],
)
def test_a_case_fails_beyond_five_percent(now: float, said: str, failed: bool) -> None:
    (row,) = compare({"a": 1_000.0}, {"a": now})
    assert (row.said, row.failed) == (said, failed)


def test_one_slow_case_among_fast_ones_fails() -> None:
    """The sum is no excuse: each case counts by itself."""
    rows = compare({"a": 1_000.0, "b": 1_000.0}, {"a": 500.0, "b": 1_100.0})
    assert [row.failed for row in rows] == [False, True]
    said = verdict(rows, "abc1234")
    assert "FAILS: 1 of 2 cases" in said
    assert "abc1234" in said


def test_an_acknowledged_loss_passes_up_to_its_percent() -> None:
    loss = Loss("a", 12.0, "values are checked")
    (row,) = compare({"a": 1_000.0}, {"a": 1_120.0}, [loss])
    assert (row.said, row.failed) == ("acknowledged: values are checked", False)
    (row,) = compare({"a": 1_000.0}, {"a": 1_121.0}, [loss])
    assert row.failed
    assert "beyond the 12 %" in row.said


def test_a_loss_is_acknowledged_for_its_case_alone() -> None:
    rows = compare({"a": 1_000.0, "b": 1_000.0}, {"a": 1_100.0, "b": 1_100.0}, [Loss("a", 12.0, "why")])
    assert [row.failed for row in rows] == [False, True]


def test_a_new_case_has_nothing_to_be_compared_with() -> None:
    (row,) = compare({"a": None}, {"a": 1_000.0})
    assert (row.change, row.failed) == (None, False)
    assert "none of 0 cases" in verdict([row], "abc1234")


def test_the_table_shows_counts_and_changes() -> None:
    rows = compare({"a: fast": 12_345.6, "b": None}, {"a: fast": 13_333.2, "b": 7.0})
    assert table(rows).splitlines() == [
        "instructions of one        before           now    change",
        "a: fast                    12,346        13,333   +8.00 %  SLOWER",
        "b                               -             7            new: nothing to compare with",
    ]


def test_a_failure_shows_the_entry_to_write() -> None:
    """What the message proposes is what the file understands, once it has a reason; and it is enough."""
    rows = compare({"a": 1_000.0}, {"a": 1_104.0})
    text = verdict(rows, "abc1234").partition(":\n\n")[2]
    losses = acknowledged.parse(text.replace('reason = ""', 'reason = "why"'))
    assert not compare({"a": 1_000.0}, {"a": 1_104.0}, losses)[0].failed
    with pytest.raises(FileError, match="reason is empty"):
        acknowledged.parse(text)


# -- wanted losses -----------------------------------------------------------------------------------------------------

ENTRY = '[[loss]]\ncase = "a"\npercent = 12\nreason = "why"\n'


def test_the_file_of_this_tree_can_be_read() -> None:
    losses = acknowledged.read(ROOT)
    acknowledged.in_force(losses, [], [case.name for case in cases.every()])


def test_an_entry_is_read() -> None:
    assert acknowledged.parse(ENTRY) == [Loss("a", 12.0, "why")]
    assert acknowledged.parse("# nothing\n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[loss]\n", "acknowledged.toml: "),
        ("loss = 1\n", "only"),
        ("[[lost]]\n", "only"),
        ('[[loss]]\ncase = "a"\npercent = 12\n', "loss 1 needs exactly case, percent, reason"),
        (ENTRY + ENTRY.replace("12", '"12"'), "loss 2: percent is a number above 0"),
        (ENTRY.replace("12", "0"), "percent"),
        (ENTRY.replace("12", "inf"), "percent"),
        (ENTRY.replace("12", "true"), "percent"),
        (ENTRY.replace('"a"', "1"), "case is the name of one"),
        (ENTRY.replace("why", " "), "reason is empty"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_an_error_with_its_place(text: str, said: str) -> None:
    with pytest.raises(FileError, match=said):
        acknowledged.parse(text)


def test_an_entry_counts_for_the_commit_that_adds_it_alone() -> None:
    """The base has had its entries' losses already: a second loss of the same case needs a word of its own."""
    old, new = Loss("a", 12.0, "why"), Loss("a", 12.0, "why again")
    assert acknowledged.in_force([old, new], [old], ["a"]) == ([new], [old])


def test_a_new_entry_for_a_case_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileError, match="no case 'b'"):
        acknowledged.in_force([Loss("b", 12.0, "why")], [], ["a"])
    assert acknowledged.in_force([Loss("b", 12.0, "why")], [Loss("b", 12.0, "why")], ["a"])[0] == []


# -- which commit ------------------------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, text: str) -> str:
    (folder / "setup.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    need("git")
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


@pytest.mark.tool
def test_the_first_commit_has_nothing_to_be_compared_with(clone: Path) -> None:
    first = commit(clone, "1")
    assert trees.base_of(clone) is None
    (clone / "setup.py").write_text("changed")
    assert trees.base_of(clone) == first


@pytest.mark.tool
def test_the_base_is_the_parent_of_a_clean_tree_and_the_commit_of_a_dirty_one(clone: Path) -> None:
    first, second = commit(clone, "1"), commit(clone, "2")
    assert trees.base_of(clone) == first
    (clone / "notes.txt").write_text("no case runs it")
    assert trees.base_of(clone) == first
    (clone / "benchmarks").mkdir()
    (clone / "benchmarks/new.py").write_text("not committed")
    assert trees.base_of(clone) == second


@pytest.mark.tool
def test_the_base_can_be_named(clone: Path) -> None:
    first = commit(clone, "1")
    commit(clone, "2")
    commit(clone, "3")
    assert trees.base_of(clone, "HEAD~2") == first
    with pytest.raises(trees.NoBase):
        trees.base_of(clone, "nowhere")


@pytest.mark.tool
def test_a_shallow_clone_is_an_error_and_not_a_first_commit(clone: Path, tmp_path: Path) -> None:
    """A gate that passes because it sees nothing is none."""
    commit(clone, "1")
    commit(clone, "2")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", clone.as_uri(), str(shallow))
    with pytest.raises(trees.NoBase, match="deepen"):
        trees.base_of(shallow)


def test_a_folder_without_git_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(trees.NoBase, match="git"):
        trees.base_of(tmp_path)


def test_the_first_commit_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(trees, "base_of", lambda root, named: None)
    monkeypatch.setattr("sys.argv", ["gate"])
    assert command.main() == 0
    assert "first commit" in capsys.readouterr().out


# -- which files -------------------------------------------------------------------------------------------------------


def tree(folder: Path, **changed: str) -> Path:
    """Make a tree with a file a place, and some of them with other text."""
    names = (
        "engine/hpack/a.py",
        "engine/README.md",
        "asgi/answer.py",
        "asgi/http.py",
        "server/app.py",
        "client/api.py",
    )
    for name in names:
        path = folder / "src/headrace" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.stem, name))
    (folder / "setup.py").write_text("")
    needs = f"[build-system]\nrequires = ['{changed.get('mypy', '')}']\n[dependency-groups]\n"
    (folder / "pyproject.toml").write_text(f"{needs}test = ['{changed.get('pytest', '')}']\n")
    return folder


@pytest.mark.parametrize(
    ("changed", "is_measured", "is_compiled"),
    [
        ("a", True, True),
        ("answer", True, True),
        ("mypy", True, True),
        ("http", True, False),
        ("app", True, False),
        ("README", False, False),
        ("api", False, False),
        ("pytest", False, False),
    ],
)
def test_only_files_that_matter_are_counted_or_compiled_again(
    tmp_path: Path, changed: str, is_measured: bool, is_compiled: bool
) -> None:
    one, other = tree(tmp_path / "1"), tree(tmp_path / "2", **{changed: "changed"})
    assert bool(trees.differences(trees.measured(one), trees.measured(other))) == is_measured
    assert (builds.key(trees.recipe(one)) != builds.key(trees.recipe(other))) == is_compiled


def test_the_places_are_there() -> None:
    """A room that is moved is measured where it goes."""
    assert [place for place in trees.MEASURED if not (ROOT / place).exists()] == []
    assert set(trees.COMPILED) <= set(trees.MEASURED)


def test_what_the_cases_import_is_measured() -> None:
    code = "import sys; from benchmarks.micro import cases; cases.every(); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True)
    names = [name.split(".") for name in done.stdout.decode().split() if name.startswith("headrace.")]
    rooms = {parts[1] for parts in names}
    assert rooms <= {Path(place).stem for place in trees.MEASURED}


@pytest.mark.tool
def test_a_base_is_read_from_its_commit(clone: Path, tmp_path: Path) -> None:
    first = commit(clone, "1")
    commit(clone, "2")
    trees.extract(clone, first, tmp_path / "tree")
    assert (tmp_path / "tree/setup.py").read_text() == "1"


# -- counting ----------------------------------------------------------------------------------------------------------


def test_a_count_is_that_of_one_unit() -> None:
    assert counting.parse("units 300\n", CALLGRIND) == pytest.approx(10_170.48)


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [("", CALLGRIND), ("units 300\n", ""), ("units 300\n", CALLGRIND.replace("3051144", "0"))],
    ids=["not ended", "no valgrind", "nothing counted"],
)
def test_a_count_that_is_not_there_is_no_count(stdout: str, stderr: str) -> None:
    assert counting.parse(stdout, stderr) is None


def test_a_base_that_cannot_run_a_case_runs_its_own_and_ours_has_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    here, base = counting.Place(Path("now"), Path("new")), counting.Place(Path("old"), Path("old"))
    known = {
        ("same", "now", "new"): 1.0, ("same", "now", "old"): 2.0, ("moved", "now", "new"): 3.0,
        ("moved", "old", "old"): 4.0, ("new", "now", "new"): 5.0,
    }  # fmt: skip

    def count(case: str, place: counting.Place, library: Path) -> float:
        try:
            return known[case, place.tree.name, place.site.name]
        except KeyError:
            raise counting.CannotCount(case) from None

    monkeypatch.setattr(counting, "count", count)
    found = counting.count_all(["same", "moved", "new"], here, base, Path())
    assert found == {"same": (1.0, 2.0), "moved": (3.0, 4.0), "new": (5.0, None)}
    with pytest.raises(counting.CannotCount, match="broken"):
        counting.count_all(["broken"], here, base, Path())


# -- the cases ---------------------------------------------------------------------------------------------------------


def test_names_of_cases_are_unique_and_lead_to_their_modules() -> None:
    names = [case.name for case in cases.every()]
    assert len(set(names)) == len(names)
    for name in names:
        assert cases.named(name).name == name


@pytest.mark.parametrize("name", [case.name for case in cases.every()])
def test_a_case_does_its_work(name: str) -> None:
    case = cases.named(name)
    case.make()()
    assert case.units > 0
