"""Header fields: a multi-dict without case, through which nothing can be smuggled (RFC 9110 §5)."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.client import Headers


def test_names_have_no_case_and_values_of_one_name_are_joined() -> None:
    headers = Headers([("Accept", "a"), ("X-Y", "1"), ("accept", "b")])
    assert headers["ACCEPT"] == "a, b"
    assert headers.get_list("accept") == ["a", "b"]
    assert headers.multi_items() == [("accept", "a"), ("x-y", "1"), ("accept", "b")]
    assert dict(headers) == {"accept": "a, b", "x-y": "1"}
    assert list(headers) == ["accept", "x-y"] and len(headers) == 3
    assert headers.raw == [(b"accept", b"a"), (b"x-y", b"1"), (b"accept", b"b")]
    others: list[object] = [b"x-Y", 5]
    assert "X-y" in headers and "z" not in headers and [each in headers for each in others] == [True, False]
    assert headers.get("z") is None and headers.get("z", "d") == "d"
    with pytest.raises(KeyError):
        headers["z"]


def test_members_of_lists() -> None:
    assert Headers([("vary", "a, b"), ("vary", "c")]).get_list("Vary", split_commas=True) == ["a", "b", "c"]


def test_setting_keeps_the_place_of_the_first() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    headers["A"] = "4"
    assert headers.raw == [(b"a", b"4"), (b"b", b"2")]
    headers["c"] = "5"
    headers.add("b", "6")
    assert headers.raw == [(b"a", b"4"), (b"b", b"2"), (b"c", b"5"), (b"b", b"6")]
    del headers["B"]
    assert headers.raw == [(b"a", b"4"), (b"c", b"5")]
    with pytest.raises(KeyError):
        del headers["b"]
    assert headers.pop("a") == "4" and headers.setdefault("c", "x") == "5"
    assert bool(headers) and not Headers()


def test_update_replaces_by_name() -> None:
    headers = Headers({"a": "1", "b": "2"})
    headers.update([("B", "3"), ("b", "4")], c="5")
    assert headers.raw == [(b"a", b"1"), (b"b", b"3"), (b"b", b"4"), (b"c", b"5")]
    assert (Headers({"a": "1"}) | {"A": "2", "b": "3"}).raw == [(b"a", b"2"), (b"b", b"3")]
    assert ({"A": "2", "b": "3"} | Headers({"a": "1"})).raw == [(b"b", b"3"), (b"a", b"1")]
    headers |= {"a": "6"}
    assert headers["a"] == "6"


def test_copies_do_not_change_with_each_other() -> None:
    first = Headers({"a": "1"})
    second, third = first.copy(), Headers(first)
    first["a"] = "2"
    second.add("b", "3")
    del third["a"]
    assert (first.raw, second.raw, third.raw) == ([(b"a", b"2")], [(b"a", b"1"), (b"b", b"3")], [])
    raw = first.raw
    raw.clear()
    assert first["a"] == "2"


def test_equality_is_of_fields_in_any_order() -> None:
    assert Headers([("a", "1"), ("B", "2")]) == Headers([("b", "2"), ("A", "1")]) == {"A": "1", "b": "2"}
    assert Headers({"a": "1"}) != Headers({"a": "2"}) and Headers({"a": "1"}) != 5 and Headers({"a": "1"}) != "a"
    with pytest.raises(TypeError):
        hash(Headers())


def test_text_is_utf_8_or_else_latin_1() -> None:
    headers = Headers([("a", "ä"), (b"b", b"\xe4")])
    assert headers.raw == [(b"a", "ä".encode()), (b"b", b"\xe4")]
    assert headers["a"] == "ä" and headers["b"] == "ä"
    headers.encoding = "latin-1"
    assert headers["a"] == "Ã¤" and headers.encoding == "latin-1"
    assert Headers({"a": "ä"}, encoding="latin-1").raw == [(b"a", b"\xe4")]


def test_spaces_around_a_value_are_not_part_of_it() -> None:
    assert Headers({"a": " \tx y\t "}).raw == [(b"a", b"x y")]


@pytest.mark.parametrize(
    "value", ["a\r\nb: c", "a\nb", "a\rb", "\r\na", "a\n", "a\0b", "a\x0bb", "a\x7fb", b"a\r\n", b"a\nb"]
)
def test_a_value_cannot_become_another_field(value: Any) -> None:
    for put in (
        lambda: Headers({"a": value}),
        lambda: Headers([(b"a", value)]),
        lambda: Headers().__setitem__("a", value),
        lambda: Headers().add("a", value),
        lambda: Headers().update({"a": value}),
        lambda: Headers({"b": "1"}) | {"a": value},
    ):
        with pytest.raises(ValueError, match=r"the value of the header b?'a' has a control character"):
            put()


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", ":path", "ä", "a\0", b"a\n", "a(", " a"])
def test_a_name_is_a_token(name: Any) -> None:
    with pytest.raises(ValueError, match="not a valid name of a header"):
        Headers({name: "1"})


def test_what_is_no_header_at_all() -> None:
    wrong: Any
    for wrong in ({"a": 1}, {"a": None}, {5: "a"}, "a: b", b"a", 5):
        with pytest.raises(TypeError):
            Headers(wrong)


def test_secrets_are_not_shown() -> None:
    headers = Headers({"Authorization": "Basic c2VjcmV0", "cookie": "sid=1", "x": "y"})
    assert repr(headers) == "Headers({'authorization': '[secure]', 'cookie': '[secure]', 'x': 'y'})"
    assert repr(Headers([("a", "1"), ("a", "2")])) == "Headers([('a', '1'), ('a', '2')])"
    with pytest.raises(ValueError, match="control character") as raised:
        Headers({"authorization": "hunter2\n"})
    assert "hunter2" not in str(raised.value)
