"""`headrace get URL...`: fetch URLs, with options like curl's."""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.errors import CommandError, UsageError
from headrace.cli.exits import EXIT_INTERRUPTED, EXIT_TIMEOUT, FetchError, fetch_error
from headrace.cli.interrupt import interruptible
from headrace.cli.request_options import (
    ConnectOptions,
    connect_options,
    parse_headers,
    parse_seconds,
    parse_url,
    take_connect_options,
)
from headrace.cli.terminal import Palette, is_terminal, wants_colour, width_of_terminal
from headrace.cli.version import version

if TYPE_CHECKING:
    from headrace.cli.get.fetch import FetchTarget
    from headrace.cli.get.trace import Trace
    from headrace.client.client import Client
    from headrace.client.message.url import URL

_KEEPALIVE_S = 30.0


@click.command(short_help="Fetch URLs.")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("-v", "--verbose", is_flag=True, help="Show frames, fields and times on stderr.")
@click.option("-i", "--include", is_flag=True, help="Show the response's head before its content.")
@click.option("-I", "--head", is_flag=True, help="Ask for the head alone.")
@click.option(
    "-o", "--output", multiple=True, metavar="FILE", help="Write to FILE, - is stdout. Repeatable: one per URL."
)
@click.option("-O", "--remote-name", is_flag=True, help="Write to a file with the last name in the URL's path.")
@click.option(
    "-d", "--data", multiple=True, metavar="DATA", help="Send DATA as a form; @FILE is a file without its line ends."
)
@click.option("--data-raw", multiple=True, metavar="DATA", help="Like -d, but @ has no meaning.")
@click.option("--data-binary", multiple=True, metavar="DATA", help="Like -d, but @FILE is sent unchanged.")
@click.option("-G", "--get", "as_query", is_flag=True, help="Put the data of -d into the URL.")
@click.option(
    "--json", "json_data", multiple=True, metavar="DATA", help="Send JSON; @FILE is a file. Several are concatenated."
)
@click.option("-F", "--form", multiple=True, metavar="NAME=VALUE",
              help="Send a multipart form; NAME=@FILE;type=...;filename=... uploads, NAME=<FILE reads.")  # fmt: skip
@click.option("-T", "--upload-file", "upload", metavar="FILE", help="PUT a file, piece by piece; - is stdin.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'",
              help="'NAME:' leaves a field out, 'NAME;' sends it empty; @FILE has one per line.")  # fmt: skip
@click.option("-X", "--request", "method", metavar="METHOD")
@click.option("-u", "--user", metavar="NAME:PASSWORD", help="Basic authentication; asks for a missing password.")
@click.option("-A", "--user-agent", metavar="TEXT")
@click.option("-L", "--location", is_flag=True, help="Follow redirects.")
@click.option("--max-redirs", type=click.IntRange(1), default=20, metavar="N", help="[default: 20]")
@click.option("--compressed", is_flag=True, help="Ask for compressed content, and decompress it.")
@click.option("-f", "--fail", is_flag=True, help="Fail on status 400 and above, without output (exit code 22).")
@click.option("--fail-with-body", is_flag=True, help="The same, with output.")
@click.option("-m", "--max-time", metavar="SECONDS", help="Time limit for each URL, in all.")
@click.option("--connect-timeout", metavar="SECONDS", help="Time limit for connecting, and for TLS.  [default: 10]")
@click.option(
    "--retry",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Try again after lost connections, timeouts, and statuses such as 503.",
)
@connect_options
@click.option(
    "--ws",
    "is_websocket",
    is_flag=True,
    help="Open a WebSocket: send lines of stdin as messages, print messages as lines.",
)
@click.option("--ws-protocol", multiple=True, metavar="NAME", help="Offer this subprotocol.  Repeatable.")
@click.option("--ws-wait", metavar="SECONDS", default="1",
              help="Time to wait for each further message after the end of stdin.  [default: 1]")  # fmt: skip
@click.option("-s", "--silent", is_flag=True, help="Show no progress and no error messages.")
def get(urls: Sequence[str], **options: Any) -> int:
    """Fetch URLs, all at once over as few connections as possible, and write them out in their order.

    Exit codes: 0 success, 2 usage, 6 no address, 7 no connection, 16 a rule of HTTP was broken, 18 content cut
    short, 22 see --fail, 23 cannot write, 26 cannot read the content, 28 timeout, 35 TLS, 47 too many redirects, 56
    connection lost, 61 wrong content coding, 65 content cannot be sent again, 92 stream reset, 97 proxy, 130
    interrupted. With several URLs, the first that failed decides.
    """
    connect = take_connect_options(options)
    try:
        return _get(urls, connect, options)
    except KeyboardInterrupt:
        raise FetchError("interrupted", EXIT_INTERRUPTED) from None
    except CommandError as error:
        if options["silent"] and not isinstance(error, UsageError):
            return error.exit_code
        raise


def _get(urls: Sequence[str], connect: ConnectOptions, options: dict[str, Any]) -> int:
    import headrace.client.pool.network  # noqa: F401 - before the trace's time begins
    from headrace.cli.get.trace import Trace

    is_websocket = options["is_websocket"] or urls[0].startswith(("ws://", "wss://"))
    parsed = [parse_url(each, websocket=is_websocket) for each in urls]
    trace = None
    if options["verbose"]:
        trace = Trace(sys.stderr, Palette(wants_colour(sys.stderr)), time.monotonic)
    if is_websocket:
        return _run(_websocket(parsed, connect, options, trace))
    return _run(_fetch(parsed, connect, options, trace))


def _run(work: Coroutine[Any, Any, list[CommandError]]) -> int:
    from headrace.client.errors import ClientError

    try:
        errors = asyncio.run(interruptible(work))
    except ClientError as error:
        raise fetch_error(error) from None
    for each in errors[1:]:
        if str(each):
            click.echo(f"headrace: {each}", err=True)
    if errors:
        raise errors[0]
    return 0


async def _fetch(
    urls: list[URL], connect: ConnectOptions, options: dict[str, Any], trace: Trace | None
) -> list[CommandError]:
    from headrace.cli.get.content import read_content
    from headrace.cli.get.fetch import Fetch, fetch_all
    from headrace.cli.get.progress import DownloadProgress

    if connect.h2c and len({each.scheme for each in urls}) > 1:
        raise UsageError("--h2c is for http:// URLs; with https:// ones among them, use --http2")
    content = read_content(options)
    if content.query:
        urls = [_with_query(each, content.query) for each in urls]
    targets = _targets(urls, options)
    given, removed = parse_headers(options["headers"])
    named = {name.lower() for name, _ in given} | removed
    headers = [pair for pair in content.headers if pair[0] not in named] + given
    progress = None
    if any(each.file for each in targets) and is_terminal(sys.stderr) and not (options["silent"] or trace):
        progress = DownloadProgress(sys.stderr, time.monotonic, width_of_terminal())
    try:
        async with _client(urls[0].scheme, connect, options, removed, trace) as client:
            return await fetch_all(
                Fetch(
                    client,
                    targets,
                    (options["method"] or ("HEAD" if options["head"] else content.method)).upper(),
                    headers,
                    content.options,
                    auth=_credentials(options["user"]),
                    follows=options["location"],
                    shows_head=options["include"] or options["head"],
                    is_compressed=options["compressed"],
                    fails=options["fail"],
                    fails_with_body=options["fail_with_body"],
                    stdout_is_terminal=is_terminal(sys.stdout),
                    shows_binary="-" in options["output"],
                    palette=Palette(wants_colour(sys.stdout)),
                    trace=trace,
                    progress=progress,
                )
            )
    finally:
        for file in content.files:
            file.close()


async def _websocket(
    urls: list[URL], connect: ConnectOptions, options: dict[str, Any], trace: Trace | None
) -> list[CommandError]:
    from headrace.client.errors import RequestError

    if len(urls) > 1:
        raise UsageError("--ws takes one URL")
    given, removed = parse_headers(options["headers"])
    linger_s = parse_seconds("--ws-wait", options["ws_wait"])
    scheme = "https" if urls[0].scheme == "wss" else "http"
    max_time_s = _above_0("--max-time", options["max_time"])
    try:
        async with asyncio.timeout(max_time_s), _client(scheme, connect, options, removed, trace) as client:
            await _converse(client, urls[0], given, options, linger_s, trace)
    except TimeoutError as error:
        if isinstance(error, RequestError):
            raise
        raise FetchError(f"the conversation has lasted {max_time_s:g} s", EXIT_TIMEOUT) from None
    return []


async def _converse(
    client: Client,
    url: URL,
    headers: list[tuple[str, str]],
    options: dict[str, Any],
    linger_s: float,
    trace: Trace | None,
) -> None:
    from headrace.cli.get.output import StdoutSink
    from headrace.cli.get.websocket import Conversation, converse, open_conversation
    from headrace.cli.stdin import Stdin

    socket = await open_conversation(client, url, headers, _credentials(options["user"]), options["ws_protocol"])
    conversation = Conversation(
        Stdin(),
        StdoutSink(),
        is_for_a_person=is_terminal(sys.stdout),
        palette=Palette(wants_colour(sys.stdout)),
        linger_s=linger_s,
        trace=trace,
    )
    await converse(socket, conversation)


def _client(
    scheme: str, connect: ConnectOptions, options: dict[str, Any], removed: set[str], trace: Trace | None
) -> Client:
    from headrace.client.calls.retry import RetryPolicy
    from headrace.client.client import Client
    from headrace.client.timeouts import Timeouts

    watched: dict[str, Any] = {} if trace is None else {"tap": trace.tap, "on_step": trace.on_step}
    network = connect.network(scheme, keepalive_ping_s=_KEEPALIVE_S, **watched)
    connect_s = _above_0("--connect-timeout", options["connect_timeout"]) or 10.0
    timeouts = Timeouts(
        pool=None,  # a request may wait for its turn without a limit
        connect=connect_s,
        tls=connect_s,
        headers=None,
        read=None,
        write=None,
        total=_above_0("--max-time", options["max_time"]),
    )
    policy = RetryPolicy(attempts=options["retry"] + 1) if options["retry"] else None
    try:
        client = Client(network=network, timeout=timeouts, max_redirects=options["max_redirs"], retry=policy)
    except ValueError as error:
        raise UsageError(str(error)) from None
    client.headers["user-agent"] = options["user_agent"] or f"headrace/{version()}"
    if not options["compressed"]:
        removed = removed | {"accept-encoding"}
    for name in removed:
        if name in client.headers:
            del client.headers[name]
    return client


def _targets(urls: list[URL], options: dict[str, Any]) -> list[FetchTarget]:
    from headrace.cli.get.fetch import FetchTarget

    if options["remote_name"] and options["output"]:
        raise UsageError("-o and -O exclude each other")
    if len(options["output"]) > len(urls):
        raise UsageError(f"-o is given {len(options['output'])} times for {len(urls)} URLs")
    targets = []
    for index, url in enumerate(urls):
        file = options["output"][index] if index < len(options["output"]) else None
        if options["remote_name"]:
            file = _remote_name(url)
        targets.append(FetchTarget(url, None if file == "-" else file))
    return targets


def _remote_name(url: URL) -> str:
    """Return the last part of the path as it stands in the URL: percent-encoded, so it has neither a slash nor a
    control character."""
    name = url.raw_path.partition(b"?")[0].rpartition(b"/")[2].decode("ascii")
    if name in ("", ".", ".."):
        raise UsageError(f"{url.without_userinfo()} has no name at its end that -O could use; use -o FILE")
    return name


def _with_query(url: URL, query: str) -> URL:
    text = str(url).partition("#")[0]
    return parse_url(f"{text}{'&' if '?' in text else '?'}{query}")


def _credentials(user: str | None) -> tuple[str, str] | None:
    if user is None:
        return None
    name, colon, password = user.partition(":")
    if not colon:
        if not is_terminal(sys.stdin):
            raise UsageError("-u has no password, and there is no terminal to ask for it: NAME:PASSWORD")
        password = getpass.getpass(f"Password of {name}: ")
    return name, password


def _above_0(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    seconds = parse_seconds(option, text)
    if not seconds:
        raise UsageError(f"{option} must be above 0")
    return seconds
