"""Compiles the engine with mypyc where that can be done, and says so in one line where it cannot.

Everything else about the package stands in pyproject.toml. The pure Python build is complete: compiling only makes it
faster, so nothing that goes wrong here may fail an installation. The line is printed, and, since installers hide what a
successful build prints, also kept in `headrace/build.txt`, from where `headrace --version` reads it.

`HEADRACE_PURE=1` asks for pure Python. An editable install is pure as well: what one edits must be what runs.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
ENGINE = Path("src/headrace/engine")
GROUP = "headrace_engine"  # of the one shared library that holds every engine module
BUILDING = {
    "bdist_wheel",
    "build",
    "build_ext",
    "install",
}  # commands that want the extension; the others only ask for facts

# For GCC on Linux. Half of the engine's machine code runs once, at import: it is kept small by what costs nothing.
# docs/releasing.md has the figures. Calls inside of the library are direct, since it exports its start alone.
SMALL = [
    "-fvisibility=hidden",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-fno-align-functions",
    "-fno-align-jumps",
    "-fno-align-loops",
    "-fno-align-labels",
    "-fno-inline-small-functions",
    "-fno-partial-inlining",
    "-fno-ipa-cp",
]
SMALL_LINK = ["-Wl,--gc-sections", "-Wl,-z,noseparate-code"]
SHIM_LINK = ["-nostartfiles", "-Wl,-z,norelro"]  # of the hundred modules that only start their part of the library

outcome = "compiled"


def fall_back(reason: str) -> list[Extension]:
    global outcome
    outcome = f"pure Python: {reason}"
    print(f"headrace: the engine is not compiled, it runs as pure Python: {reason}", file=sys.stderr, flush=True)
    return []


def c_compiler() -> str:
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]


def is_gcc_on_linux() -> bool:
    if sys.platform != "linux":
        return False
    said = subprocess.run([c_compiler(), "--version"], check=False, capture_output=True, text=True).stdout
    return "Free Software Foundation" in said


def missing_tool() -> str | None:
    """The reason why C code cannot be compiled here, as far as that can be seen without trying."""
    if sys.platform == "win32":
        return None  # setuptools finds Visual C++ in its own way; build_ext tells when it did not
    if shutil.which(c_compiler()) is None:
        return f"no C compiler ({c_compiler()}) was found"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "the headers of this Python (Python.h) are not installed"
    return None


def engine_extensions() -> list[Extension]:
    if not BUILDING & set(sys.argv):
        return []
    if os.environ.get("HEADRACE_PURE", "") not in ("", "0"):
        return fall_back("HEADRACE_PURE is set")
    if sys.implementation.name != "cpython":
        return fall_back(f"{sys.implementation.name} is not CPython")
    if reason := missing_tool():
        return fall_back(reason)
    files = sorted(str(path.relative_to(HERE)) for path in (HERE / ENGINE).rglob("*.py") if path.name != "__init__.py")
    files.append("src/headrace/asgi/answer.py")  # no I/O either, and as hot as the engine (docs/adr)
    said = io.StringIO()
    try:
        from mypyc.build import mypycify

        # One unit, so that calls between its modules are direct; whatever else it imports is read for its types alone.
        # Some builds of Python have no sqlite3, which mypy's cache is in by default.
        flags = ["--follow-imports=silent", "--no-warn-unused-configs", "--no-sqlite-cache"]
        small = is_gcc_on_linux()
        with contextlib.redirect_stdout(said):
            extensions = mypycify(flags + files, opt_level="2" if small else "3", debug_level="0", group_name=GROUP)
    except (Exception, SystemExit) as error:  # mypyc prints what it refuses and ends with SystemExit
        refusals = [line for line in said.getvalue().splitlines() if ": error:" in line]
        return fall_back(f"mypyc could not compile it ({refusals[0] if refusals else first_line(error)})")
    for extension in extensions:  # a warning that a newer C compiler has is no reason to stay interpreted
        extension.extra_compile_args = [flag for flag in extension.extra_compile_args if flag != "-Werror"]
        if small:
            extension.extra_compile_args += SMALL
            is_shim = extension.name != f"{GROUP}__mypyc"
            extension.extra_link_args += [*SMALL_LINK, *(SHIM_LINK if is_shim else [])]
    return extensions


def first_line(error: BaseException) -> str:
    text = re.sub(r"Command '\[.*?\]' ", "it ", str(error).strip())  # a compiler's whole command line helps nobody here
    return text.splitlines()[0] if text else type(error).__name__


class BuildExtOrPure(build_ext):
    """Compiles, or leaves the wheel as the pure Python that it already is."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            fall_back(f"the C compiler failed ({first_line(error)})")
            self.extensions = []
        # Unchanged libraries of an earlier build save a minute, others would be installed with the wheel.
        wanted = {Path(path).resolve() for path in self.get_outputs()} if self.extensions else set()
        for made in Path(self.build_lib).rglob("*" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so")):
            if made.resolve() not in wanted:
                made.unlink()
        package = Path(self.build_lib, "headrace")
        if package.is_dir():
            (package / "build.txt").write_text(outcome + "\n", encoding="utf-8")


class BuildPyWithNote(build_py):
    """Adds build.txt; build_ext writes it again when it knows better."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            Path(self.build_lib, "headrace", "build.txt").write_text(outcome + "\n", encoding="utf-8")


os.chdir(HERE)
setup(ext_modules=engine_extensions(), cmdclass={"build_ext": BuildExtOrPure, "build_py": BuildPyWithNote})
