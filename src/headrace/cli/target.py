"""TARGET: the application of `module:attribute`, or a folder. If it cannot be found, one sentence says why."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from pathlib import Path

from headrace.cli.errors import ApplicationError, UsageError
from headrace.server.files.static import StaticFiles


def load_target(target: str, app_dir: str | Path = ".", *, factory: bool = False) -> object:
    """Import the module, with `app_dir` first on the path, and return the attribute, or its result if it is a
    `factory`.

    A path to a folder, such as `./public`, becomes an application that serves its files. It must look like a path: the
    bare name of a package, with its attribute forgotten, must not publish its source.

    Raises UsageError if `target` is not of the form `module:attribute`, and ApplicationError if it does not exist, if
    importing or calling it raised, or if the result cannot be called.
    """
    if _is_path(target):
        if factory:
            raise UsageError(f"--factory is for module:attribute, and {target} is a folder")
        try:
            return StaticFiles(target)
        except ValueError as error:
            raise UsageError(f"TARGET is '{target}', but {error}") from None
    module_name, attribute = _split(target)
    directory = str(Path(app_dir).resolve())
    if not Path(directory).is_dir():
        raise UsageError(f"--app-dir: there is no directory {app_dir}")
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found = _import(module_name, directory)
    for depth, part in enumerate(attribute.split(".")):
        if not hasattr(found, part):
            where = f"module '{module_name}'" if depth == 0 else f"'{'.'.join(attribute.split('.')[:depth])}'"
            close = difflib.get_close_matches(part, dir(found), 1, 0.6)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ApplicationError(f"{target}: {where}{_location(found)} has no attribute '{part}'{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise ApplicationError(f"{target}: this is not an application: {_kind(found)} cannot be called")
    if factory:
        try:
            found = found()
        except Exception as error:
            raise ApplicationError(f"{target}: the factory raised {describe(error)}") from error
        if not callable(found):
            raise ApplicationError(f"{target}: the factory returned {_kind(found)}, which cannot be called")
    return found


def describe(error: BaseException) -> str:
    """Return an exception in half a sentence: its type, its message's first line, and the file and line where it was
    raised."""
    if isinstance(error, SyntaxError):
        place, message = f"{error.filename}:{error.lineno}", error.msg
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        message = str(error).strip()
    first_line = message.splitlines()[0] if message else ""
    text = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return f"{text} ({place})" if place else text


def _is_path(target: str) -> bool:
    """Return whether this names a folder: it has a slash or is dots, and names neither a module's file nor an
    attribute."""
    has_slash = os.sep in target or (os.altsep is not None and os.altsep in target) or target in (".", "..")
    return has_slash and (os.path.isdir(target) or (":" not in target and not target.endswith(".py")))


def _split(target: str) -> tuple[str, str]:
    module_name, colon, attribute = target.partition(":")
    if module_name.endswith(".py") or os.sep in module_name:
        guess = module_name.removesuffix(".py").strip("./").replace(os.sep, ".")
        raise UsageError(f"TARGET is '{target}', a path; name the module instead, such as {guess}:{attribute or 'app'}")
    if not colon or not module_name or not attribute:
        folder = f", or a folder, such as ./{target}" if target and os.path.isdir(target) else ""
        raise UsageError(
            f"TARGET is '{target}'; it must be module:attribute, such as {module_name or 'module'}:app{folder}"
        )
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise UsageError(f"TARGET is '{target}'; module and attribute must be names, such as package.module:app")
    return module_name, attribute


def _import(module_name: str, directory: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ApplicationError(
                f"{module_name}: there is no module '{error.name}' in {directory} or among the installed packages"
            ) from error
        raise ApplicationError(f"{module_name}: importing it raised {describe(error)}") from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"{module_name}: importing it raised {describe(error)}") from error


def _is_machinery(filename: str) -> bool:
    """Return True for frames of the import system, and for our own: the fault is never theirs."""
    return filename.startswith("<frozen ") or filename in (__file__, importlib.__file__)


def _location(found: object) -> str:
    file = getattr(found, "__file__", None)
    return f" ({file})" if file else ""


def _kind(found: object) -> str:
    name = type(found).__name__
    return "None" if found is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
