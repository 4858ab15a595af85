"""The interface of an application (ASGI, WSGI, native), detected by its shape and never by a call.

Adapters are rooms above the server, so the server does not import them: this module finds them by name.
"""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headrace.server.connection.application import Application
    from headrace.server.settings.config import Config

ADAPTERS: Final = {
    "asgi": ("headrace.asgi.application", "ASGIApplication"),
    "native": ("headrace.server.handlers.native", "NativeApplication"),
    "wsgi": ("headrace.wsgi.application", "WSGIApplication"),
}


class AppError(Exception):
    """The application cannot be served. The message is one sentence for its author."""


class StartupError(AppError):
    """The application reported that its start failed, or raised while it started."""


def adapt(app: Any, config: Config) -> Application:
    """Return `app` in the adapter that it needs, or that `config.interface` names. Raises AppError."""
    name = config.interface if config.interface != "auto" else detect(app)
    module, attribute = ADAPTERS[name]
    adapter: Application = getattr(importlib.import_module(module), attribute)(app, config)
    return adapter


def detect(app: Any) -> str:
    """Return `asgi` for three parameters, `wsgi` for two, `native` for one. Raises AppError, which says what `app` is
    instead."""
    if inspect.isclass(app):
        raise AppError(f"the application is the class {app.__name__}; give an instance, or a function")
    if not callable(app):
        raise AppError(f"the application is a {type(app).__name__}, which cannot be called")
    try:
        parameters = list(inspect.signature(app).parameters.values())
    except (TypeError, ValueError):
        return "asgi"  # written in C, or a signature that cannot be read: frameworks make ASGI
    required = [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
    ]
    if len(required) == 3 or (len(required) < 3 and any(each.kind is each.VAR_POSITIONAL for each in parameters)):
        return "asgi"
    if len(required) == 1:
        if required[0].name == "scope":
            raise AppError("the application looks like ASGI 2, with the one parameter scope; ASGI 3 has three")
        return "native"
    if len(required) == 2:
        return "wsgi"
    raise AppError(
        f"the application takes {len(required)} parameters; ASGI has three (scope, receive, send), WSGI two (environ, "
        "start_response), a native handler one"
    )
