"""Sources of settings: the command line, then the environment, then a TOML file, then the defaults.

Each error names the source of its setting: the flag, the variable, or the file and its key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from headrace.engine.limits import Limits
from headrace.server.settings.config import Config, ConfigError, server_limits
from headrace.server.settings.table import (
    BY_NAME,
    ENVIRONMENT_PREFIX,
    SETTINGS,
    Setting,
    near,
)

# Not settings: the path of the file itself, an option of the build, and variables of the project's own checks.
_NOT_SETTINGS: Final = ("HEADRACE_CONFIG", "HEADRACE_PURE")
_NOT_SETTINGS_PREFIX: Final = "HEADRACE_CI_"
_LIMIT_NAMES: Final = frozenset(each.name for each in fields(Limits))


@dataclass(frozen=True, slots=True)
class Given:
    """A value that was given, and its source: `--bind`, `HEADRACE_BIND` or `headrace.toml: bind`."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and the sources of those that are not defaults."""

    config: Config
    given: Mapping[str, Given]

    @classmethod
    def defaults(cls) -> Loaded:
        """Return the settings if nothing is given."""
        return cls(Config(), {})

    def value(self, setting: Setting) -> Any:
        """Return the value in force of one setting."""
        return getattr(self.config.limits if setting.name in _LIMIT_NAMES else self.config, setting.name)

    def to_toml(self) -> str:
        """Return the settings as a file that `--config` reads, each with its source as a comment. Passwords are left
        out."""
        lines: list[str] = []
        for each in SETTINGS:
            if each.limit and "[limits]" not in lines:
                lines += ["", "[limits]"]
            origin = self.given[each.name].origin if each.name in self.given else "default"
            value = self.value(each)
            if each.secret:
                lines.append(f"# {each.name} is {'not set' if value is None else f'set, not shown; {origin}'}")
            elif value is None:
                lines.append(f"# {each.name} is not set")
            else:
                lines.append(f"{each.name} = {_to_toml(value)}  # {origin}")
        return "\n".join(lines) + "\n"


def load_config(
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: str | Path | None = None,
) -> Loaded:
    """Return every setting's value: `flags` (by the setting's name) before `environment` before `file` before defaults.

    `HEADRACE_CONFIG` names the file if `file` is None. Raises ConfigError, with one sentence that names the source and
    the setting, for a file that cannot be read, an unknown setting and a value that cannot be used.
    """
    environment = environment or {}
    path = file if file is not None else environment.get("HEADRACE_CONFIG") or None
    given: dict[str, Given] = {}
    if path is not None:
        given |= _from_file(Path(path))
    given |= _from_environment(environment)
    given |= _from_flags(flags or {})
    return Loaded(_build(given), given)


def _from_flags(flags: Mapping[str, object]) -> dict[str, Given]:
    return {name: _given(BY_NAME[name], raw, BY_NAME[name].flag) for name, raw in flags.items() if raw is not None}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    by_variable = {each.variable: each for each in SETTINGS}
    given: dict[str, Given] = {}
    for variable, raw in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable in _NOT_SETTINGS or variable.startswith(_NOT_SETTINGS_PREFIX):
            continue
        setting = by_variable.get(variable)
        if setting is None:
            raise ConfigError(f"environment: {variable} is not a setting{near(variable, by_variable)}")
        if raw:  # an empty variable is the shell's way to unset one
            given[setting.name] = _given(setting, raw, variable)
    return given


def _from_file(path: Path) -> dict[str, Given]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    limits = table.pop("limits", {})
    if not isinstance(limits, dict):
        raise ConfigError(f"{path}: limits must be a table, [limits]")
    by_key = {each.key: each for each in SETTINGS}
    found = {**table, **{f"limits.{name}": raw for name, raw in limits.items()}}
    given: dict[str, Given] = {}
    for key, raw in found.items():
        setting = by_key.get(key)
        if setting is None:
            raise ConfigError(f"{path}: {key} is not a setting{_near_key(key, by_key)}")
        given[setting.name] = _given(setting, raw, f"{path}: {key}")
    return given


def _given(setting: Setting, raw: object, origin: str) -> Given:
    try:
        return Given(setting.read(raw), origin)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from None


def _build(given: Mapping[str, Given]) -> Config:
    limits = {each.name: getattr(server_limits(), each.name) for each in fields(Limits)}
    others: dict[str, Any] = {}
    for name, each in given.items():
        (limits if name in _LIMIT_NAMES else others)[name] = each.value
    try:
        return Config(limits=Limits(**limits), **others)
    except ValueError as error:
        raise ConfigError(_placed(str(error), given)) from None


def _placed(sentence: str, given: Mapping[str, Given]) -> str:
    """Return `sentence` with the source of the setting before it, if it begins with a setting."""
    name = sentence.split(" ", 1)[0]
    for candidate in (name, "bind", "cleartext_bind"):
        if candidate in given and (candidate == name or sentence.startswith("the address '")):
            if candidate != name and not any(f"'{text}'" in sentence for text in given[candidate].value):
                continue
            return f"{given[candidate].origin}: {sentence}"
    return sentence


def _near_key(key: str, candidates: Iterable[str]) -> str:
    """Do as `near`, and also find a limit that was written outside of [limits], or a setting inside."""
    name = key.rpartition(".")[2]
    exact = [each for each in candidates if each.rpartition(".")[2] == name]
    return f"; did you mean {exact[0]}?" if exact else near(key, candidates)


def _to_toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_to_toml(each) for each in value) + "]"
    if isinstance(value, str):
        escaped = "".join(_escape(character) for character in value)
        return f'"{escaped}"'
    return str(value)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return f"\\u{ord(character):04x}" if ord(character) < 32 or ord(character) == 127 else character
