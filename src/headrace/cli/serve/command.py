"""`headrace serve TARGET`: settings, certificate and application are read in this order, then the process serves."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Final

import click

from headrace.cli.errors import UsageError
from headrace.cli.process import run_process
from headrace.cli.serve.options import GroupedCommand, setting_options
from headrace.cli.target import load_target
from headrace.server.files.static import StaticFiles
from headrace.server.open_limit import open_limit, raise_open_limit
from headrace.server.settings.config import Config, ConfigError
from headrace.server.settings.sources import load_config
from headrace.server.telemetry.logs import configure_logging
from headrace.transport.tls import TLSConfigError, local_certificate, server_context

logger: Final = logging.getLogger("headrace")


@click.command(cls=GroupedCommand, short_help="Serve an application, or a folder of files.")
@click.argument("target", metavar="TARGET", required=False)
@click.option("--config", "config_file", metavar="FILE.toml", help="Read settings from this file.")
@click.option("--app-dir", metavar="DIR", default=".", help="Look for TARGET here first.  [default: .]")
@click.option("--factory", is_flag=True, help="Call TARGET without arguments; it returns the application.")
@click.option("--check-config", is_flag=True, help="Check settings, certificate and, if given, TARGET; then exit.")
@click.option("--print-config", is_flag=True, help="Print the settings in force as a file for --config; then exit.")
@setting_options
def serve(
    target: str | None,
    config_file: str | None,
    app_dir: str,
    factory: bool,
    check_config: bool,
    print_config: bool,
    **flags: object,
) -> int:
    """Serve TARGET: module:attribute, which is an ASGI application, a WSGI application or a native handler; or the path
    of a folder of files, such as ./public.

    Settings come from the command line, then from the environment (HEADRACE_BIND, HEADRACE_LOG_LEVEL ...), then from
    the file of --config (or HEADRACE_CONFIG); the first that has a value applies. The password of a private key is
    never a flag: set HEADRACE_TLS_KEY_PASSWORD, or tls_key_password in the file.

    SIGTERM or SIGINT lets running requests finish, for --drain-timeout at most; a second signal ends at once.

    Exit codes: 0 clean stop, 1 run-time failure, 2 usage or configuration, 3 TARGET failed to load or to start.
    """
    try:
        # A repeatable option that was not given is an empty tuple.
        loaded = load_config({name: raw for name, raw in flags.items() if raw != ()}, os.environ, config_file)
    except ConfigError as error:
        raise UsageError(str(error)) from error
    if print_config:
        click.echo(loaded.to_toml(), nl=False)
        return 0
    if target is None and not check_config:
        raise UsageError("TARGET is missing: say what to serve, such as package.module:app")
    config = loaded.config
    configure_logging(config.log_level)
    context = _tls_context(config)
    if target is not None:
        app = load_target(target, app_dir, factory=factory)
        if isinstance(app, StaticFiles) and config.interface not in ("auto", "native"):
            raise UsageError(f"--interface {config.interface} is for applications, and {target} is a folder")
    if check_config or target is None:
        click.echo("headrace: the configuration is valid")
        return 0
    _raise_open_limit(config)
    return run_process(app, target, config, context)


def _raise_open_limit(config: Config) -> None:
    """Raise the limit of descriptors as far as the system allows, as servers do: each connection needs one."""
    before = open_limit()
    failure = raise_open_limit()
    limit = open_limit()
    if failure is not None:
        logger.warning("the limit of open files (ulimit -n) stays %d: %s", limit, failure)
    elif limit > before:
        logger.debug("the limit of open files (ulimit -n) is raised from %d to %d", before, limit)
    if limit <= config.max_connections:
        logger.info("at most %d files and connections can be open (ulimit -n), fewer than max_connections", limit)


def _tls_context(config: Config) -> ssl.SSLContext | None:
    try:
        if config.dev_tls:
            certificate = local_certificate()
            authority = certificate.with_name("localhost-ca.pem")
            logger.info(
                "the certificate for localhost is %s; a client that trusts %s accepts it", certificate, authority
            )
            return server_context(certificate)
        if config.tls_cert is not None:
            key = Path(config.tls_key) if config.tls_key else None
            return server_context(Path(config.tls_cert), key, config.tls_key_password)
    except TLSConfigError as error:
        raise UsageError(str(error)) from error
    return None
