"""Files below a folder, and nothing outside of it, for every path that a client may send.

Where the system supports it, each name of a path is opened below the descriptor of the folder before (openat), and
symbolic links are not followed (O_NOFOLLOW). So no moment lies between a check and its use in which a path could change
its meaning.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.server.open_limit import is_exhaustion

OPENS_BELOW: Final = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")

_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
# A named pipe would block the thread until a writer comes, and a terminal could become ours.
_FILE: Final = (
    os.O_RDONLY | _CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
)
_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_WINDOWS: Final = re.compile(
    r'[<>:"|?*\x00-\x1f]|[. ]\Z|\A(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)', re.IGNORECASE
)
_ABSENT: Final = frozenset({errno.ELOOP, errno.EMLINK, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO, errno.ENODEV})
_WELL_KNOWN: Final = ".well-known"  # RFC 8615: the one hidden folder that is meant to be seen


def check_names(names: Sequence[str], hidden: bool, windows: bool = os.name == "nt") -> bool:
    """Return whether percent-decoded segments of a path can be names of files, each inside the one before."""
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            return False
        if name[0] == "." and not hidden and name != _WELL_KNOWN:
            return False
        if windows and _WINDOWS.search(name):
            return False
    return True


@dataclass(slots=True)
class Found:
    """A file or folder. `fd` is the open file, which the caller closes, or -1."""

    status: os.stat_result
    fd: int = -1
    suffix: str = ""
    """The suffix of the sibling that was picked, such as `.br`; "" for the file itself."""
    siblings: bool = False
    """Whether there was more than one file to pick from."""

    @property
    def is_folder(self) -> bool:
        """True for a folder, which is not opened."""
        return stat.S_ISDIR(self.status.st_mode)


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of a folder's listing."""

    name: str
    is_folder: bool
    size: int
    modified: float


Pick = Callable[[Mapping[str, os.stat_result]], str]
"""Function that gets the siblings by their suffixes and returns the suffix to open; "" for the file itself."""


class Folder:
    """The files below `path`; all methods block, and are for threads."""

    def __init__(self, path: str | os.PathLike[str], follow_symlinks: bool) -> None:
        self.path: Path = Path(os.path.abspath(path))
        self._follows = follow_symlinks

    def find(self, names: Sequence[str], suffixes: Sequence[str] = (), pick: Pick | None = None) -> Found | None:
        """Return the file or folder with this path; None if there is none that may be seen. Raises OSError otherwise.

        Finds only regular files and folders. The names must have passed `check_names`.
        """
        try:
            return self._find(names, suffixes, pick)
        except (FileNotFoundError, NotADirectoryError, PermissionError, UnicodeEncodeError):
            return None
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def rows(self, names: Sequence[str], hidden: bool, most: int) -> list[Listed] | None:
        """Return the regular files and folders in a folder, at most `most`; None if it may not be seen.

        Raises OSError if no descriptor is left.
        """
        try:
            real = self._names(names)
            if real is None:
                return None
            with self._below(real) as place, place.scan() as entries:
                rows = [row for entry in entries if (row := self._row(entry, names, hidden)) is not None]
        except OSError as error:
            if is_exhaustion(error):
                raise
            return None
        return sorted(rows, key=lambda row: (not row.is_folder, row.name.casefold(), row.name))[:most]

    def _row(self, entry: os.DirEntry[str], names: Sequence[str], hidden: bool) -> Listed | None:
        if not check_names([entry.name], hidden):
            return None
        try:
            entry.name.encode()  # a name that is not UTF-8 has no URL here
            status = entry.stat(follow_symlinks=False)
        except (OSError, UnicodeEncodeError):
            return None
        if stat.S_ISLNK(status.st_mode):
            found = self.find([*names, entry.name]) if self._follows else None
            if found is None:
                return None
            if found.fd >= 0:
                os.close(found.fd)
            status = found.status
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not stat.S_ISREG(status.st_mode):
            return None
        return Listed(entry.name, is_folder, status.st_size, status.st_mtime)

    def _find(self, names: Sequence[str], suffixes: Sequence[str], pick: Pick | None) -> Found | None:
        real = self._names(names)
        if real is None:
            return None
        if not real:
            return Found(os.stat(self.path))
        name = real[-1]
        with self._below(real[:-1]) as place:
            status = place.stat(name)
            if stat.S_ISDIR(status.st_mode):
                return Found(status)
            if not stat.S_ISREG(status.st_mode):
                return None
            siblings = dict(_siblings(place, name, suffixes))
            suffix = pick(siblings) if pick is not None and siblings else ""
            fd = place.open(name + suffix)
        try:
            opened = os.fstat(fd)  # the state of the opened file, in case the name has changed its meaning since
            if stat.S_ISREG(opened.st_mode):
                return Found(opened, fd, suffix, bool(siblings))
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _names(self, names: Sequence[str]) -> Sequence[str] | None:
        """Return the names behind symbolic links, if those are followed; None if they lead out of the folder."""
        if not self._follows:
            return names
        root = os.path.realpath(self.path)
        real = os.path.realpath(os.path.join(root, *names))
        if real == root:
            return []
        prefix = os.path.join(root, "")
        # From here on the path has no links; it is walked without following links that were made since.
        return real[len(prefix) :].split(os.sep) if real.startswith(prefix) else None

    def _below(self, names: Sequence[str]) -> _OpenFolder:
        return _OpenFolder(self.path, names) if OPENS_BELOW else _CheckedPlace(self.path, names)


class _OpenFolder:
    """A folder below the root, by descriptor."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        # The root itself may be a link: its owner configured it.
        self.fd = os.open(root, _FOLDER)
        try:
            for name in names:
                fd = os.open(name, _FOLDER | _NOFOLLOW, dir_fd=self.fd)
                os.close(self.fd)
                self.fd = fd
        except BaseException:
            os.close(self.fd)
            raise

    def stat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def open(self, name: str) -> int:
        return os.open(name, _FILE | _NOFOLLOW, dir_fd=self.fd)

    @contextlib.contextmanager
    def scan(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        fd = os.open(".", os.O_RDONLY | _CLOEXEC, dir_fd=self.fd)
        try:
            with os.scandir(fd) as entries:
                yield entries
        finally:
            os.close(fd)

    def __enter__(self) -> _OpenFolder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class _CheckedPlace(_OpenFolder):
    """The same by path, for systems that cannot open below a descriptor: no link may be in it."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.path = Path(os.path.realpath(root))
        for name in names:
            self.path = self.path / name
            if not stat.S_ISDIR(os.lstat(self.path).st_mode):
                raise NotADirectoryError(str(self.path))

    def stat(self, name: str) -> os.stat_result:
        return os.lstat(self.path / name)

    def open(self, name: str) -> int:
        if not stat.S_ISREG(self.stat(name).st_mode):
            raise FileNotFoundError(name)
        return os.open(self.path / name, _FILE)

    @contextlib.contextmanager
    def scan(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        with os.scandir(self.path) as entries:
            yield entries

    def __exit__(self, *_: object) -> None:
        """Do nothing: no descriptor is open."""


def _siblings(place: _OpenFolder, name: str, suffixes: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
    for suffix in suffixes:
        try:
            status = place.stat(name + suffix)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield suffix, status
