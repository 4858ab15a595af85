"""Settings: who wins, what is refused and with which sentence, and that the table is complete."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.limits import Limits
from headrace.server.settings.config import Bind, Config, ConfigError
from headrace.server.settings.sources import Loaded, load_config
from headrace.server.settings.table import _LIMITS, BY_NAME, SETTINGS


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# -- who wins


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = written(
        tmp_path / "headrace.toml",
        'interface = "asgi"\nlifespan = "on"\nlog_level = "debug"\n[limits]\nmax_fields = 50\n',
    )
    environment = {"HEADRACE_INTERFACE": "native", "HEADRACE_LIFESPAN": "off", "HEADRACE_MAX_FIELDS": "60"}
    config = load_config({"interface": "auto", "max_fields": "70"}, environment, file).config
    assert (config.interface, config.limits.max_fields) == ("auto", 70)
    assert config.lifespan == "off"
    assert config.log_level == "debug"
    assert config.loop == Config().loop


def test_the_environment_can_name_the_file_and_the_flag_wins(tmp_path: Path) -> None:
    by_variable = written(tmp_path / "one.toml", 'root_path = "/one"')
    by_flag = written(tmp_path / "two.toml", 'root_path = "/two"')
    environment = {"HEADRACE_CONFIG": str(by_variable)}
    assert load_config({}, environment).config.root_path == "/one"
    assert load_config({}, environment, by_flag).config.root_path == "/two"


def test_addresses_given_higher_up_replace_those_below(tmp_path: Path) -> None:
    file = written(tmp_path / "f.toml", 'bind = ["127.0.0.1:1", "unix:/run/a.sock"]')
    assert [str(each) for each in load_config({}, {}, file).config.binds] == ["127.0.0.1:1", "unix:/run/a.sock"]
    assert [str(each) for each in load_config({}, {"HEADRACE_BIND": "[::1]:2, fd:3"}, file).config.binds] == [
        "[::1]:2",
        "fd:3",
    ]
    assert [str(each) for each in load_config({"bind": ("127.0.0.1:4",)}, {}, file).config.binds] == ["127.0.0.1:4"]


def test_every_limit_of_the_engine_has_its_line_in_the_table() -> None:
    limits, table = {each.name for each in fields(Limits)}, set(_LIMITS)
    assert table >= limits, f"give {limits - table} a line in _LIMITS of server/settings/table.py, with kind and help"
    assert table <= limits, f"_LIMITS of server/settings/table.py has {table - limits}, which Limits has not"


@pytest.mark.parametrize("limit", fields(Limits), ids=lambda limit: limit.name)
def test_the_kind_of_a_limit_is_that_of_its_values(limit: Any) -> None:
    kind = BY_NAME[limit.name].kind
    assert kind in (("seconds", "rate") if isinstance(limit.default, float) else ("bytes", "count"))
    assert (kind == "seconds") == limit.name.endswith("_s")
    if kind == "count":
        assert not limit.name.endswith(("_size", "_window", "_buffer")), "its name says that it counts bytes"


def test_every_limit_of_the_engine_can_be_set_by_its_name() -> None:
    for each in fields(Limits):
        default = getattr(Config().limits, each.name)
        raised = min(default + 1, 4096) if each.name == "header_table_size" else default + 1
        loaded = load_config({}, {f"HEADRACE_{each.name.upper()}": str(raised)})
        assert getattr(loaded.config.limits, each.name) == raised, each.name
        assert type(getattr(loaded.config.limits, each.name)) is type(default), each.name


def test_every_setting_of_the_config_is_in_the_table() -> None:
    assert {each.name for each in fields(Config)} - {"limits", "binds"} <= set(BY_NAME)
    assert len({each.flag for each in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize(("text", "data"), [("1048576", 1_048_576), ("1MiB", 1_048_576), ("64 KiB", 65_536)])
def test_sizes_may_have_a_unit(text: str, data: int) -> None:
    assert load_config({"max_body_size": text}).config.max_body_size == data


def test_an_empty_variable_is_no_setting() -> None:
    assert load_config({}, {"HEADRACE_TLS_CERT": ""}).config.tls_cert is None


def test_variables_of_others_and_of_the_build_are_left_alone() -> None:
    load_config({}, {"PATH": "/bin", "HEADRACE_PURE": "1", "HEADRACE_CI_STRICT": "1"})


# -- addresses


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8000", Bind("tcp", host="127.0.0.1", port=8000)),
        ("localhost:0", Bind("tcp", host="localhost", port=0)),
        ("[::1]:8000", Bind("tcp", host="::1", port=8000)),
        ("unix:/run/headrace.sock", Bind("unix", path="/run/headrace.sock")),
        ("fd:3", Bind("fd", fd=3)),
    ],
)
def test_an_address_is_read_and_written_back(text: str, bind: Bind) -> None:
    assert Bind.parse(text) == bind
    assert str(bind) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8000",
        "localhost",
        "8000",
        "::1:80",
        "host:",
        "host:http",
        "host:65536",
        "unix:",
        "fd:",
        "fd:x",
        "fd:-1",
    ],
)
def test_a_bad_address_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"the address '{text}'")):
        Bind.parse(text)


def test_every_bind_speaks_tls_once_there_is_a_certificate_except_the_cleartext_ones() -> None:
    config = Config(bind="127.0.0.1:8443", cleartext_bind="127.0.0.1:8080", dev_tls=True)
    assert [(str(each), each.tls) for each in config.binds] == [("127.0.0.1:8443", True), ("127.0.0.1:8080", False)]
    assert [each.tls for each in Config(bind="127.0.0.1:8000").binds] == [False]


def test_a_copy_with_changes_reads_its_addresses_anew() -> None:
    assert [str(each) for each in replace(Config(bind="127.0.0.1:1"), bind="127.0.0.1:2").binds] == ["127.0.0.1:2"]


# -- what is refused


@pytest.mark.parametrize(
    ("flags", "environment", "sentence"),
    [
        (
            {},
            {"HEADRACE_LOG_LEVLE": "debug"},
            "environment: HEADRACE_LOG_LEVLE is not a setting; did you mean HEADRACE_LOG_LEVEL?",
        ),
        ({}, {"HEADRACE_XYZZY": "1"}, "environment: HEADRACE_XYZZY is not a setting"),
        (
            {},
            {"HEADRACE_BIND": "nowhere"},
            "HEADRACE_BIND: the address 'nowhere' is none of HOST:PORT, [IPV6]:PORT, unix:PATH and fd:N",
        ),
        ({"interface": "asig"}, {}, "--interface: 'asig' is not one of auto, asgi, wsgi, native; did you mean asgi?"),
        ({}, {"HEADRACE_ACCESS_LOG": "maybe"}, "HEADRACE_ACCESS_LOG: 'maybe' is neither true nor false"),
        ({"max_fields": "many"}, {}, "--max-fields: 'many' is not a whole number (KiB, MiB and GiB may follow)"),
        ({"idle_timeout_s": "nan"}, {}, "--idle-timeout: 'nan' is not a number"),
        ({"idle_timeout_s": "0"}, {}, "--idle-timeout: idle_timeout_s is 0.0; it must be between 0.001 and 86400"),
        (
            {"max_frame_size": "16383"},
            {},
            "--max-frame-size: max_frame_size is 16383; it must be between 16384 and 1048576",
        ),
        ({"max_connections": "0"}, {}, "--max-connections: max_connections is 0; it must be between 1 and 1000000"),
        ({"tls_key": "k.pem"}, {}, "--tls-key: tls_key is set without tls_cert; a key needs its certificate"),
        (
            {"dev_tls": True, "tls_cert": "c.pem"},
            {},
            "--dev-tls: dev_tls and tls_cert are both set; choose one certificate",
        ),
        (
            {"root_path": "api/"},
            {},
            "--root-path: root_path is 'api/'; it must begin with a slash and not end with one",
        ),
        ({"bind": ("127.0.0.1:1", "127.0.0.1:1")}, {}, "--bind: the address '127.0.0.1:1' is given twice"),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_its_place(
    flags: dict[str, object], environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(flags, environment)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("log_levl = 'debug'", "log_levl is not a setting; did you mean log_level?"),
        ("[limits]\nmax_filds = 3", "limits.max_filds is not a setting; did you mean limits.max_fields?"),
        ("max_fields = 30", "max_fields is not a setting; did you mean limits.max_fields?"),
        ("[limits]\nbind = 'x'", "limits.bind is not a setting; did you mean bind?"),
        ("limits = 3", "limits must be a table, [limits]"),
        ("bind = 8000", "bind: 8000 is not a list of addresses"),
        ("dev_tls = 'perhaps'", "dev_tls: 'perhaps' is neither true nor false"),
        ("log_level = 3", "log_level: 3 is not text"),
        ("[limits]\nmax_fields = 3.5", "limits.max_fields: 3.5 is not a whole number (KiB, MiB and GiB may follow)"),
        ("[limits]\nmax_fields = true", "limits.max_fields: True is not a whole number (KiB, MiB and GiB may follow)"),
        ("[limits]\nmax_fields = 1", "limits.max_fields: max_fields is 1; it must be between 8 and 65536"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_file_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    file = written(tmp_path / "headrace.toml", text)
    with pytest.raises(ConfigError) as caught:
        load_config({}, {}, file)
    assert str(caught.value) == f"{file}: {sentence}"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, content, reason in (
        ("missing.toml", None, "no such file or directory"),
        ("broken.toml", b"bind = [", "not TOML"),
        ("binary.toml", b"\xff\xfe", "not UTF-8"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"{re.escape(str(path))}: {reason}"):
            load_config({}, {}, path)


# -- printing


def test_what_is_printed_can_be_read_again_and_gives_the_same(tmp_path: Path) -> None:
    flags = {"bind": ("[::1]:1", "unix:/tmp/a b.sock"), "max_fields": "77", "root_path": '/q"\\x'}
    loaded = load_config(flags, {"HEADRACE_IDLE_TIMEOUT_S": "1.5"})
    text = loaded.to_toml()
    again = load_config({}, {}, written(tmp_path / "printed.toml", text))
    assert again.config == loaded.config
    assert "# --max-fields" in text
    assert "# HEADRACE_IDLE_TIMEOUT_S" in text


def test_a_password_is_never_printed() -> None:
    environment = {"HEADRACE_TLS_CERT": "c.pem", "HEADRACE_TLS_KEY_PASSWORD": "swordfish"}
    loaded = load_config({}, environment)
    assert "swordfish" not in loaded.to_toml()
    assert "swordfish" not in repr(loaded.config)


def test_the_printed_defaults_are_toml_with_every_setting() -> None:
    table = tomllib.loads(Loaded.defaults().to_toml())
    assert set(table["limits"]) == {each.name for each in SETTINGS if each.limit}
