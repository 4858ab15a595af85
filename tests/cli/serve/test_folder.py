"""A folder as TARGET: `headrace serve ./public`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from headrace import StaticFiles
from headrace.cli.errors import EXIT_USAGE, CommandError
from headrace.cli.target import load_target

from tests.cli.command import run, serving
from tests.conftest import need
from tests.support.fetch import fetch


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    public = tmp_path / "public"
    public.mkdir()
    (public / "index.html").write_text("<h1>hello</h1>")
    (public / "big.bin").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "secret.txt").write_text("SECRET")
    monkeypatch.chdir(tmp_path)
    return public


@pytest.mark.parametrize("target", ["./public", "public/", "./public/", "ABSOLUTE", "."])
def test_a_path_to_a_folder_serves_it(public: Path, target: str) -> None:
    served = load_target(str(public) if target == "ABSOLUTE" else target)
    assert isinstance(served, StaticFiles)
    assert served.folder == str(public.parent if target == "." else public)


@pytest.mark.parametrize(
    ("target", "factory", "sentence"),
    [
        # A package whose attribute was forgotten must not publish its source.
        (
            "public",
            False,
            "TARGET is 'public'; it must be module:attribute, such as public:app, or a folder, such as ./public",
        ),
        ("./absent", False, "TARGET is './absent', but there is no folder ./absent"),
        ("./public/index.html", False, "TARGET is './public/index.html', but there is no folder ./public/index.html"),
        ("./public", True, "--factory is for module:attribute, and ./public is a folder"),
    ],
)
def test_what_is_no_folder_to_serve(public: Path, target: str, factory: bool, sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        load_target(target, factory=factory)
    assert (str(caught.value), caught.value.exit_code) == (sentence, EXIT_USAGE)


def test_an_interface_does_not_go_with_a_folder(public: Path) -> None:
    ended = run("serve", "./public", "--interface", "asgi", cwd=public.parent)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--interface asgi is for applications, and ./public is a folder" in ended.stderr


def test_it_is_served(public: Path) -> None:
    with serving("./public", "--bind", "127.0.0.1:0", cwd=public.parent) as server:
        port = server.port()
        page = fetch(port, "/")
        assert (page.status, page.text, page.headers["content-type"]) == (
            200,
            "<h1>hello</h1>",
            "text/html; charset=utf-8",
        )
        assert fetch(port, "/big.bin").body == (public / "big.bin").read_bytes()
        assert fetch(port, "/../secret.txt").status == 404
        assert fetch(port, "/", "POST", b"x").status == 405


@pytest.mark.tool
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_resumes_and_asks_only_for_what_is_new(public: Path, version: str) -> None:
    program = need("curl")
    content = (public / "big.bin").read_bytes()
    with serving("./public", "--bind", "127.0.0.1:0", cwd=public.parent) as server:
        url = f"http://127.0.0.1:{server.port()}/big.bin"

        def curl(*options: str) -> str:
            command = [program, "-sS", version, "-w", "%{http_code}", "-o", "got.bin", *options, url]
            return subprocess.run(command, cwd=public.parent, capture_output=True, text=True, timeout=30).stdout

        got = public.parent / "got.bin"
        got.write_bytes(content[:300_000])
        assert curl("-C", "-") == "206"
        assert got.read_bytes() == content
        assert curl("-r", "5-9") == "206"
        assert got.read_bytes() == content[5:10]
        assert curl("-r", "0-0,-1") == "206"
        assert got.read_bytes().startswith(b"--")
        assert curl("-r", "99999999-") == "416"
        assert curl("-z", "got.bin") == "304"
        assert curl("--etag-save", "tag") == "200"
        assert curl("--etag-compare", "tag") == "304"
