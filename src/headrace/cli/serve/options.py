"""The flags of `headrace serve` from the table of settings, and a help page that groups them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from headrace.server.settings.config import DEFAULT_BIND
from headrace.server.settings.sources import Loaded
from headrace.server.settings.table import SETTINGS, Setting

_METAVARS: Final = {
    "text": "TEXT",
    "addresses": "ADDRESS",
    "count": "N",
    "bytes": "BYTES",
    "seconds": "SECONDS",
    "rate": "RATE",
}
_FILES: Final = ("tls_cert", "tls_key")
_LIMITS_INTRODUCTION: Final = (
    "BYTES may end in KiB, MiB or GiB. In a file these stand under [limits], by their names with _ for - and with _s "
    "if they are seconds."
)


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag for each setting that may have one. Values stay text: the table reads them, from every source."""
    defaults = Loaded.defaults()
    for each in reversed(SETTINGS):
        if not each.secret:
            command = _option(each, defaults)(command)
    return command


def _option(setting: Setting, defaults: Loaded) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    value = defaults.value(setting)
    if setting.kind == "switch":
        no = "--no-" + setting.flag.removeprefix("--")
        return click.option(f"{setting.flag}/{no}", setting.name, default=None, help=setting.help)
    if setting.kind == "addresses":
        shown = f"  [default: {DEFAULT_BIND}]" if setting.name == "bind" else ""
        help_text = f"{setting.help}  Repeatable.{shown}"
        metavar = "NAME" if setting.name == "server_names" else _METAVARS[setting.kind]
        return click.option(setting.flag, setting.name, multiple=True, metavar=metavar, help=help_text)
    metavar = "FILE" if setting.name in _FILES else "|".join(setting.choices) or _METAVARS[setting.kind]
    number = f"{value:g}" if isinstance(value, float) else str(value)
    help_text = setting.help if value in (None, "") else f"{setting.help}  [default: {number}]"
    return click.option(setting.flag, setting.name, metavar=metavar, help=help_text)


class GroupedCommand(click.Command):
    """A command whose help shows the limits after the other options."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        limits = {each.name for each in SETTINGS if each.limit}
        rows: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
        for parameter in self.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and isinstance(parameter, click.Option):
                rows[parameter.name in limits].append(record)
        with formatter.section("Options"):
            formatter.write_dl(rows[False])
        with formatter.section("Limits and timeouts"):
            formatter.write_text(_LIMITS_INTRODUCTION)
            formatter.write_paragraph()
            formatter.write_dl(rows[True])
