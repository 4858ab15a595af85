"""Reads the content that `headrace get` sends: `-d` and its relatives, `--json`, `-F`, `-T`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from headrace.cli.errors import UsageError
from headrace.cli.request_options import FORM, UnreadableFile, read_data, read_file
from headrace.cli.stdin import Stdin


@dataclass
class SentContent:
    """The content of a request, with the options that it needs. `options` are for `Client.build_request`."""

    method: str = "GET"
    options: dict[str, Any] = field(default_factory=dict)
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Defaults, which `-H` replaces."""
    query: str = ""
    """With -G: text that is added to the URL's query."""
    files: list[IO[bytes]] = field(default_factory=list)
    """Files to close when everything is sent."""


def read_content(options: dict[str, Any]) -> SentContent:
    """Return the content for the options `data`, `data_raw`, `data_binary`, `json_data`, `form`, `upload` and
    `as_query`. Raises UsageError and UnreadableFile."""
    data = [(kind, text) for kind in ("data", "raw", "binary") for text in options[_OPTION_OF[kind]]]
    kinds = [name for name, given in (("-d", data), ("--json", options["json_data"]), ("-F", options["form"]),
                                      ("-T", options["upload"])) if given]  # fmt: skip
    if len(kinds) > 1:
        raise UsageError(f"{' and '.join(kinds)} exclude each other: a request has one content")
    if options["as_query"] and kinds not in ([], ["-d"]):
        raise UsageError("-G puts the data of -d into the URL; there is none")
    if not kinds:
        return SentContent()
    if kinds == ["-d"]:
        raw = read_data(data)
        if options["as_query"]:
            return SentContent(query=raw.decode("utf-8", "surrogateescape"))
        return SentContent("POST", {"content": raw}, [("content-type", FORM)])
    if kinds == ["--json"]:
        pieces = [read_file(text[1:]) if text.startswith("@") else text.encode() for text in options["json_data"]]
        media_type = "application/json"
        return SentContent(
            "POST", {"content": b"".join(pieces)}, [("content-type", media_type), ("accept", media_type)]
        )
    if kinds == ["-F"]:
        return _form(options["form"])
    return _upload(options["upload"])


_OPTION_OF = {"data": "data", "raw": "data_raw", "binary": "data_binary"}


def _upload(name: str) -> SentContent:
    if name == "-":
        return SentContent("PUT", {"content": Stdin().pieces()})
    file = open_file(name)
    return SentContent("PUT", {"content": file}, files=[file])


def _form(given: Sequence[str]) -> SentContent:
    """Return a multipart form: the fields in their order, then the files in theirs."""
    content = SentContent("POST")
    fields: list[tuple[str, str | bytes]] = []
    files: list[tuple[str, tuple[Any, ...]]] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"-F {text!r}: a field is name=value, name=@file or name=<file")
        if value.startswith("<"):
            fields.append((name, read_file(value[1:])))
        elif value.startswith("@"):
            path, attributes = _attributes(value[1:], text)
            filename = attributes.get("filename") or ("-" if path == "-" else Path(path).name)
            file: Any = Stdin().pieces() if path == "-" else open_file(path)
            if path != "-":
                content.files.append(file)
            files.append((name, (filename, file, *([attributes["type"]] if "type" in attributes else []))))
        else:
            fields.append((name, value))
    content.options = {"data": fields, "files": files}
    return content


def _attributes(text: str, whole: str) -> tuple[str, dict[str, str]]:
    """Parse `path;type=text/plain;filename=a.txt`, where the path may be in quotes. Return the path and the
    attributes."""
    if text.startswith('"') and '"' in text[1:]:
        path, _, rest = text[1:].partition('"')
    else:
        path, semicolon, rest = text.partition(";")
        rest = semicolon + rest
    found = {}
    for piece in rest.split(";")[1:]:
        name, equals, value = piece.strip().partition("=")
        if name not in ("type", "filename") or not equals:
            raise UsageError(f"-F {whole!r}: {piece.strip()!r} is neither type=... nor filename=...")
        found[name] = value.strip('"')
    return path, found


def open_file(name: str) -> IO[bytes]:
    """Open a file to send. Raises UnreadableFile."""
    try:
        return open(name, "rb")
    except OSError as error:
        raise UnreadableFile(f"{name}: {(error.strerror or str(error)).lower()}") from None
