"""`headrace`: the group of commands, the version, and one way to report every error."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from headrace.cli.bench.command import bench
from headrace.cli.errors import EXIT_FAILED, EXIT_USAGE, CommandError
from headrace.cli.get.command import get
from headrace.cli.serve.command import serve
from headrace.cli.version import version_text


def _print_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        click.echo(version_text())
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, whether the engine is compiled, and the Python version.",
)
def cli() -> None:
    """HTTP/2, HTTP/1.1 and WebSocket for Python."""


cli.add_command(serve)
cli.add_command(get)
cli.add_command(bench)


def main() -> NoReturn:
    """Run the command line and exit: 0 clean, 1 run-time failure, 2 usage or configuration; others by command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line `arguments` and return the exit code. Every expected error is one line on stderr."""
    try:
        code = cli.main(arguments, prog_name="headrace", standalone_mode=False)
    except CommandError as error:
        if str(error):
            click.echo(f"headrace: {error}", err=True)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        click.echo(f"headrace: {message[:1].lower()}{message[1:]}", err=True)
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("headrace: interrupted", err=True)
        return EXIT_FAILED
    return code if isinstance(code, int) else 0
