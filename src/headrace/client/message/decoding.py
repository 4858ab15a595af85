"""Content codings of responses (RFC 9110 §8.4): gzip, deflate, br and zstd, chained, in steps of bounded size.

A response of a few kilobytes can inflate to gigabytes. So one step makes at most STEP bytes (br: twice that) before it
hands them on, and content that has grown beyond FREE bytes may be at most `max_ratio` times the bytes that came.
Content can also cause work without bytes: empty members, frames and blocks. So one step takes at most TAKEN bytes, and
members beyond the first MANY_MEMBERS must have MEMBER_SIZE bytes on average.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, Protocol

from headrace.client.errors import DecodingError

STEP: Final = 262_144
FREE: Final = 16 * 1_048_576
MAX_RATIO: Final = 100
"""Largest growth beyond FREE bytes. Text and JSON shrink to a fifth or a thirtieth; content that shrinks to a hundredth
beyond 16 MiB is a bomb, or a file of zeros."""
MAX_CODINGS: Final = 5
TAKEN: Final = 4_096
"""Bytes that one step takes. So many bytes of empty DEFLATE blocks or empty zstd frames cost up to 10 ms of work."""
MANY_MEMBERS: Final = 1_024
MEMBER_SIZE: Final = 256
"""Bytes that a member of gzip or a frame of zstd must have on average. Even a short one costs as much work as a
kilobyte of content. Logs that are compressed piece by piece have larger ones."""

_MODULES: Final = {"zstd": ("compression.zstd", "backports.zstd"), "br": ("brotli", "brotlicffi")}
_ALIASES: Final = {"x-gzip": "gzip"}  # RFC 9110 §8.4.1.3
_ZSTD_WINDOW_LOG: Final = 23  # 8 MiB: a decoder for the web needs no more (RFC 9659 §3)


class CodingDecoder(Protocol):
    """Removes one content coding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes, in pieces of about STEP bytes at most. Raises _Malformed."""
        ...

    def finish(self) -> None:
        """End the content. Raises _Malformed when the coding has not ended."""
        ...


class _Members:
    """Counts the members of gzip, or the frames of zstd, that follow each other in one content."""

    def __init__(self) -> None:
        self._count = 0
        self._taken = 0

    def take(self, data: bytes) -> None:
        """Count bytes that have arrived."""
        self._taken += len(data)

    def begin(self) -> None:
        """Count a further member. Raises _Malformed when there are too many for the bytes that have arrived."""
        self._count += 1
        if self._count > MANY_MEMBERS and self._count * MEMBER_SIZE > self._taken:
            raise _Malformed(f"{self._count} members in {self._taken} bytes are work without content")


class _Malformed(Exception):
    pass


class _ZlibDecoder:
    """gzip, of any number of members (RFC 1952 §2.2); or deflate, with its zlib wrapper as RFC 9110 §8.4.1.2 has it, or
    bare, as several servers send it."""

    def __init__(self, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._inflate: Any = zlib.decompressobj(31) if is_gzip else None
        self._is_empty = True
        self._held = b""
        self._members = _Members()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._members.take(data)
        if not self._is_gzip and self._inflate is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return
            # CMF and FLG: deflate with a window up to 32 KiB, and a multiple of 31 (RFC 1950 §2.2).
            wrapped = data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] * 256 + data[1]) % 31 == 0
            self._inflate = zlib.decompressobj(15 if wrapped else -15)
        while data:
            inflate = self._inflate
            if inflate.eof:
                if not self._is_gzip:
                    return  # ignore bytes behind the end
                data = data.lstrip(b"\0")  # padding between members, as gzip itself allows
                if not data:
                    return
                self._members.begin()
                self._inflate = inflate = zlib.decompressobj(31)
            self._is_empty = False
            while True:
                try:
                    piece = inflate.decompress(data, STEP)
                except zlib.error as error:
                    raise _Malformed(str(error)) from None
                if piece:
                    yield piece
                data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
                if inflate.eof or (not data and len(piece) < STEP):
                    break

    def finish(self) -> None:
        if not self._is_empty and not self._inflate.eof:
            raise _Malformed("it ends in the middle")
        if self._held and self._inflate is None:
            raise _Malformed("it ends in the middle")


class _BrotliDecoder:
    def __init__(self) -> None:
        module = _module("br")
        assert module is not None
        self._error: type[Exception] = module.error
        self._inflate = module.Decompressor()
        self._is_empty = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        inflate = self._inflate
        self._is_empty = False
        if data and inflate.is_finished():  # `process` raises for bytes behind the end in the same piece
            raise _Malformed("more follows its end")
        while not inflate.is_finished():
            try:
                piece = inflate.process(data, output_buffer_limit=STEP)
            except self._error as error:
                raise _Malformed(str(error)) from None
            if piece:
                yield piece
            if len(piece) < STEP and inflate.can_accept_more_data():
                return
            data = b""

    def finish(self) -> None:
        if not self._is_empty and not self._inflate.is_finished():
            raise _Malformed("it ends in the middle")


class _ZstdDecoder:
    def __init__(self) -> None:
        self._module: Any = _module("zstd")
        self._inflate = self._new()
        self._is_empty = True
        self._members = _Members()

    def _new(self) -> Any:
        parameter = self._module.DecompressionParameter
        return self._module.ZstdDecompressor(options={parameter.window_log_max: _ZSTD_WINDOW_LOG})

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._members.take(data)
        while True:
            if self._inflate.eof:
                if not data:
                    return
                self._members.begin()
                self._inflate = self._new()  # frames may follow each other (RFC 8878 §3.1)
            try:
                piece = self._inflate.decompress(data, STEP)
            except self._module.ZstdError as error:
                raise _Malformed(str(error)) from None
            self._is_empty = False
            if piece:
                yield piece
            if self._inflate.eof:
                data = self._inflate.unused_data
            elif self._inflate.needs_input:
                return
            else:
                data = b""

    def finish(self) -> None:
        if not self._is_empty and not self._inflate.eof:
            raise _Malformed("it ends in the middle")


@lru_cache(None)
def _module(coding: str) -> ModuleType | None:
    for name in _MODULES[coding]:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if coding != "br" or hasattr(module.Decompressor, "can_accept_more_data"):
            return module  # an older brotli has no limit on its output
    return None


@lru_cache(None)
def accept_encoding() -> str:
    """Return the codings that can be decoded here, as a value of accept-encoding: always gzip and deflate, and br and
    zstd when their packages are installed."""
    return ", ".join(["gzip", "deflate", *(coding for coding in ("br", "zstd") if _module(coding) is not None)])


class ContentDecoder:
    """Removes all codings of one response. After a DecodingError its state is undefined."""

    __slots__ = ("_chain", "_codings", "_given", "_max_ratio", "_taken")

    def __init__(self, codings: Sequence[str], max_ratio: int | None = MAX_RATIO) -> None:
        """Take codings off that are all known here; `codings` has them in the order in which the server applied
        them."""
        if len(codings) > MAX_CODINGS:
            raise DecodingError(f"the response has {len(codings)} content codings; at most {MAX_CODINGS} are taken off")
        self._codings = ", ".join(codings)
        self._chain: list[CodingDecoder] = [_decoder(coding) for coding in reversed(codings)]
        self._max_ratio = max_ratio
        self._taken = 0
        self._given = [0] * len(codings)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes, in pieces of about STEP bytes at most. An empty piece says that bytes were taken and
        none came out yet, so that the caller can let other tasks run."""
        self._taken += len(data)
        try:
            for place in range(0, len(data), TAKEN):
                taken = data[place : place + TAKEN] if len(data) > TAKEN else data
                is_empty = True
                for piece in self._through(0, taken):
                    is_empty = False
                    yield piece
                if is_empty:
                    yield b""
        except _Malformed as fault:
            raise self._error(fault) from None

    def _through(self, step: int, data: bytes) -> Iterator[bytes]:
        """Check the ratio behind each coding: one that inflates may stand before one that shrinks."""
        is_last = step == len(self._chain) - 1
        for piece in self._chain[step].feed(data):
            given = self._given[step] = self._given[step] + len(piece)
            if given > FREE and self._max_ratio is not None and given > self._taken * self._max_ratio:
                raise DecodingError(
                    f"{self._taken} bytes of {self._codings} have become {given}: more than {self._max_ratio} times"
                    " as many"
                )
            if is_last:
                yield piece
            else:
                yield from self._through(step + 1, piece)

    def finish(self) -> None:
        """End the content. Raises DecodingError when a coding has not ended."""
        try:
            for decoder in self._chain:
                decoder.finish()
        except _Malformed as fault:
            raise self._error(fault) from None

    def _error(self, fault: _Malformed) -> DecodingError:
        return DecodingError(f"the response's content is not {self._codings}, as its content-encoding says: {fault}")


def _decoder(coding: str) -> CodingDecoder:
    if coding == "br":
        return _BrotliDecoder()
    if coding == "zstd":
        return _ZstdDecoder()
    return _ZlibDecoder(coding == "gzip")


def codings_of(content_encoding: str) -> list[str]:
    """Return the codings that a content-encoding names, or [] when one of them is unknown: then the content stays
    encoded."""
    found = []
    for member in content_encoding.lower().split(","):
        coding = _ALIASES.get(member.strip(), member.strip())
        if coding in ("", "identity"):
            continue
        if coding not in ("gzip", "deflate") and (coding not in _MODULES or _module(coding) is None):
            return []
        found.append(coding)
    return found
