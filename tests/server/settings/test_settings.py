"""Settings that are refused, each with a sentence that names it; and what a configuration file says back."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.server import open_limit as open_limit_module
from headrace.server.open_limit import MOST, is_exhaustion, open_limit, raise_open_limit
from headrace.server.settings import config as config_module
from headrace.server.settings.config import Config, ConfigError
from headrace.server.settings.sources import load_config
from headrace.server.settings.table import BY_NAME


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"log_level": "loud"}, "log_level is 'loud'; it must be one of "),
        ({"lifespan": "maybe"}, "lifespan is 'maybe'; it must be one of "),
        ({"tls_key": "k.pem"}, "tls_key is set without tls_cert; a key needs its certificate"),
        ({"tls_key_password": "x"}, "tls_key_password is set without tls_cert; there is no key that it could open"),
        ({"max_messages_size": -1}, "max_messages_size is -1; it must not be negative"),
        ({"max_body_size": -1}, "max_body_size is -1; it must not be negative"),
        ({"tls_handshake_timeout_s": 0}, "tls_handshake_timeout_s is 0; it must be between 0.001 and 86400"),
        ({"wsgi_threads": 10_001}, "wsgi_threads is 10001; it must be between 0 and 10000"),
        ({"wsgi_stall_s": -1}, "wsgi_stall_s is -1; it must be between 0 and 86400"),
        ({"wsgi_spool_memory": 2**30 + 1}, "wsgi_spool_memory is 1073741825; it must be between 0 and 1073741824"),
        ({"request_id_header": "x id"}, "request_id_header is 'x id', which is not the name of a field"),
        ({"metrics_bind": "nowhere"}, "metrics_bind: the address 'nowhere' is none of "),
        (
            {"proxy_protocol_from": "10/99"},
            "proxy_protocol_from has '10/99', which is neither an address nor a network",
        ),
        ({"server_names": "a b"}, "server_names: "),
        ({"bind": []}, "there is no address to listen on; give bind at least one"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        Config(**settings)


@pytest.mark.parametrize(
    ("settings", "missing", "extra"),
    [
        ({"metrics_bind": "127.0.0.1:0"}, "prometheus_client", "headrace[prometheus]"),
        ({"otel": True}, "opentelemetry", "headrace[otel]"),
    ],
)
def test_a_setting_that_needs_a_package_names_it(
    settings: dict[str, Any], missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Config(**settings)
    monkeypatch.setattr(config_module, "find_spec", lambda name: None if name == missing else sys)
    with pytest.raises(ConfigError, match=re.escape(f"pip install '{extra}'")):
        Config(**settings)


def test_an_address_that_is_not_one_is_told_with_its_own_source() -> None:
    """Two settings hold addresses, and the sentence begins with the address, not with a setting."""
    flags = {"bind": "127.0.0.1:1", "cleartext_bind": "nowhere"}
    with pytest.raises(ConfigError, match=r"^--cleartext-bind: the address 'nowhere' is none of "):
        load_config(flags)
    with pytest.raises(ConfigError, match=r"^--bind: the address 'nowhere' is none of "):
        load_config({"bind": "nowhere"})
    # Both settings are fine by themselves, so no source can be blamed.
    with pytest.raises(ConfigError, match=r"^tls_key is set without tls_cert|^--tls-key: tls_key is set without"):
        load_config({"tls_key": "k.pem"})


@pytest.mark.parametrize(("raw", "value"), [("on", True), ("Yes", True), ("0", False), (True, True)])
def test_switches_have_several_words(raw: object, value: bool) -> None:
    assert BY_NAME["access_log"].read(raw) is value


@pytest.mark.parametrize("raw", ["often", "nan", "inf", True, [1]])
def test_a_time_is_a_finite_number(raw: object) -> None:
    with pytest.raises(ConfigError, match="is not a number"):
        BY_NAME["idle_timeout_s"].read(raw)


@pytest.mark.parametrize("raw", ["often", 1])
def test_a_switch_is_true_or_false(raw: object) -> None:
    with pytest.raises(ConfigError, match="neither true nor false"):
        BY_NAME["access_log"].read(raw)


def test_a_file_with_control_characters_comes_back_as_it_was(tmp_path: Path) -> None:
    given = 'a"b\\c\n\x7fé'
    shown = load_config({"tls_cert": given, "bind": "127.0.0.1:1, [::1]:2"}).to_toml()
    (tmp_path / "again.toml").write_text(shown, "utf-8")
    config = load_config(file=tmp_path / "again.toml").config
    assert (config.tls_cert, config.bind) == (given, ("127.0.0.1:1", "[::1]:2"))


# -- the limit of open files -------------------------------------------------------------------------------------------


def test_windows_has_a_fixed_limit_of_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_limit_module, "_resource", None)
    assert open_limit() == 8_192
    assert raise_open_limit() is None


@pytest.mark.parametrize("error", [OSError(1, "no"), ValueError("too many")])
def test_a_system_that_refuses_its_own_limit_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS accepts less than it announces."""

    class Refusing:
        RLIMIT_NOFILE = 7
        RLIM_INFINITY = -1
        limits = (256, -1)

        def getrlimit(self, which: int) -> tuple[int, int]:
            assert which == 7
            return self.limits

        def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
            assert limits == (MOST, -1)
            raise error

    monkeypatch.setattr(open_limit_module, "_resource", Refusing())
    failure = raise_open_limit()
    assert isinstance(failure, OSError)
    assert not is_exhaustion(failure)
    assert open_limit() == 256
    Refusing.limits = (-1, -1)
    assert raise_open_limit() is None
    assert open_limit() == MOST
