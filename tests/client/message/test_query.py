"""Query parameters: names with several values, and forms as they stand in a URL."""

from __future__ import annotations

import pytest

from headrace.client import InvalidURL, QueryParams


def test_of_text_pairs_and_mappings() -> None:
    assert QueryParams("a=1&b=%C3%A4+c&a=2&d=&e").multi_items() == [
        ("a", "1"), ("b", "ä c"), ("a", "2"), ("d", ""), ("e", ""),
    ]  # fmt: skip
    assert QueryParams("?a=1") == QueryParams(b"a=1") == QueryParams({"a": 1}) == QueryParams([("a", "1")])
    assert QueryParams({"a": [1, 2.5, True, False, None]}).get_list("a") == ["1", "2.5", "true", "false", ""]
    assert QueryParams(a=1, b="2") == QueryParams("b=2&a=1")
    assert str(QueryParams({"a b": "ä&="})) == "a+b=%C3%A4%26%3D"


def test_as_a_mapping() -> None:
    params = QueryParams("a=1&b=2&a=3")
    assert params["a"] == "1" and list(params) == ["a", "b"] and len(params) == 2 and "b" in params
    assert dict(params) == {"a": "1", "b": "2"} and params.get("c") is None
    with pytest.raises(KeyError):
        params["c"]
    assert not QueryParams() and QueryParams("a")
    assert repr(params) == "QueryParams('a=1&b=2&a=3')"
    assert hash(QueryParams("a=1&b=2")) == hash(QueryParams("b=2&a=1"))
    assert params != "a=1&b=2&a=3"


def test_changes_make_new_ones() -> None:
    params = QueryParams("a=1&b=2&a=3")
    assert str(params.set("a", 4)) == "a=4&b=2"
    assert str(params.add("c", None)) == "a=1&b=2&a=3&c="
    assert str(params.remove("a")) == "b=2"
    assert str(params.merge({"a": [7, 8], "z": 9})) == "a=7&a=8&b=2&z=9"
    assert str(params) == "a=1&b=2&a=3"


def test_what_are_no_parameters() -> None:
    with pytest.raises(TypeError, match="not int"):
        QueryParams(5)  # type: ignore[arg-type]
    with pytest.raises((InvalidURL, ValueError)):
        QueryParams([("a", "b", "c")])  # type: ignore[list-item]
