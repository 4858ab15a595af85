"""RFC 7541 §6 and §7.1: which representation the encoder chooses, and what that does to its table."""

from __future__ import annotations

import hpack
import pytest

from headrace.engine.hpack import Decoder, Encoder

NEVER_INDEXED, WITHOUT_INDEXING, WITH_INDEXING = 0x10, 0x00, 0x40


def representation(byte: int) -> int:
    return 0x80 if byte >= 0x80 else 0x40 if byte >= 0x40 else byte & 0xF0


SECRETS = [
    *(b"authorization", b"proxy-authorization", b"set-cookie", b"cookie", b"authentication-info", b"dpop"),
    *(b"x-api-key", b"apikey", b"x-auth-token", b"x-vault-token", b"private-token", b"x-csrf-token", b"x-csrf"),
    *(b"ocp-apim-subscription-key", b"x-amz-security-token", b"x-forwarded-access-token", b"x-amzn-oidc-data"),
    *(
        b"cf-access-jwt-assertion",
        b"x-session-id",
        b"x-functions-key",
        b"x-password",
        b"x-client-secret",
        b"x-github-otp",
        b"x-auth",
    ),
]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", [b"k=1", b"k=a secret that is far longer than twenty bytes"])
def test_credentials_are_never_indexed(name: bytes, value: bytes) -> None:
    """§7.1.3, §6.2.3: also on the hops behind a proxy, and however long they are."""
    encoder = Encoder()
    for _ in range(4):
        block = encoder.encode([(name, value)])
        assert representation(block[0]) == NEVER_INDEXED
        assert encoder.settled
    assert (encoder.table_size, encoder.generation) == (0, 0)


@pytest.mark.parametrize(
    "name",
    [
        b"x-user",
        b"x-request-id",
        b"content-type",
        b"x-keyboard",
        b"x-tokens-left",
        b"authority",
        b"x-sidecar",
        b"custom-key",
    ],
)
def test_other_names_are_no_credentials(name: bytes) -> None:
    encoder = Encoder()
    for _ in range(2):
        encoder.encode([(name, b"some value")])
    assert encoder.table_size > 0


@pytest.mark.parametrize("pair", [(b"x-thing", b"one"), (b"server", b"headrace"), (b":method", b"GET")])
def test_what_must_not_be_indexed_is_not_looked_for_in_a_table(pair: tuple[bytes, bytes]) -> None:
    """§6.2.3: an intermediary uses the same representation, though another message has put the value into the table."""
    encoder, decoder = Encoder(), Decoder()
    for _ in range(3):
        decoder.decode(encoder.encode([pair]))
    size = encoder.table_size
    block = encoder.encode([pair], frozenset((pair[0],)))
    assert representation(block[0]) == NEVER_INDEXED
    assert decoder.decode(block).fields[0].pair == pair
    assert encoder.table_size == size
    assert encoder.encode([pair])[0] >= 0x80


@pytest.mark.parametrize(
    "name",
    [b":path", b"content-length", b"etag", b"age", b"location", b"last-modified", b"if-none-match", b"range"],
)
def test_what_varies_is_not_indexed(name: bytes) -> None:
    encoder = Encoder()
    for _ in range(4):
        assert representation(encoder.encode([(name, b"/1234567890")])[0]) == WITHOUT_INDEXING
    assert (encoder.table_size, encoder.generation, encoder.settled) == (0, 0, True)


@pytest.mark.parametrize("name", [b":authority", b"content-type", b"server", b"user-agent", b"vary"])
def test_what_hardly_varies_is_indexed_at_once(name: bytes) -> None:
    encoder = Encoder()
    assert [representation(encoder.encode([(name, b"some value")])[0]) for _ in range(3)] == [WITH_INDEXING, 0x80, 0x80]


@pytest.mark.parametrize("name", [b"x-thing", b"date", b":status"])
def test_anything_else_is_indexed_on_second_sight(name: bytes) -> None:
    encoder = Encoder()
    seen = []
    for _ in range(3):
        block = encoder.encode([(name, b"some value")])
        seen.append((representation(block[0]), encoder.settled))
    assert seen == [(WITHOUT_INDEXING, False), (WITH_INDEXING, True), (0x80, True)]


def test_unique_values_do_not_churn_the_table() -> None:
    encoder = Encoder()
    lasting = [(b"server", b"headrace"), (b"content-type", b"text/html; charset=utf-8")]
    encoder.encode(lasting)
    size, generation = encoder.table_size, encoder.generation
    for number in range(200):
        block = encoder.encode([(b":status", b"200"), *lasting, (b"x-request-id", b"%032x" % (number * 7919**5))])
        assert block[1] >= 0x80 and block[2] >= 0x80
    # One in 65,536 is taken for a repeated one; 200 of them are not expected to bring a second.
    assert encoder.table_size <= size + 76
    assert encoder.generation <= generation + 1


def test_a_large_value_does_not_push_all_others_out() -> None:
    encoder = Encoder()
    encoder.encode([(b"server", b"headrace")])
    for _ in range(3):
        assert representation(encoder.encode([(b"content-security-policy", b"x" * 3000)])[0]) == WITHOUT_INDEXING
    assert encoder.encode([(b"server", b"headrace")]) == b"\xbe"


def test_a_known_name_in_the_dynamic_table_is_referred_to() -> None:
    encoder, decoder = Encoder(), Decoder()
    for _ in range(2):
        decoder.decode(encoder.encode([(b"x-thing", b"one")]))
    block = encoder.encode([(b"x-thing", b"two")])
    assert block[:2] == b"\x0f\x2f"  # name index 62
    assert decoder.decode(block).fields[0].pair == (b"x-thing", b"two")


def test_huffman_only_where_it_is_shorter() -> None:
    """§5.2"""
    assert Encoder().encode([(b":path", b"/aaaa")]) == b"\x04\x84\x60\x63\x18\xff"
    assert Encoder().encode([(b":path", b"~|")]) == b"\x04\x02~|"
    assert Encoder().encode([(b":path", b"0")]) == b"\x04\x010"  # a tie stays plain
    assert Encoder().encode([(b":path", b"")]) == b"\x04\x00"


def test_generation_tells_when_remembered_bytes_are_stale() -> None:
    """The contract of `generation`: a block encoded under an unchanged generation may be sent again as it is."""
    encoder, decoder = Encoder(), Decoder()
    remembered: dict[int, tuple[int, bytes]] = {}
    responses = [
        [(b":status", b"200"), (b"server", b"headrace"), (b"x-kind", b"%d" % kind), (b"content-length", b"13")]
        for kind in range(60)
    ]
    hits = 0
    for round_number in range(400):
        kind = (round_number * round_number) % 60
        if round_number == 200:
            encoder.set_max_table_size(256)
            decoder.set_max_table_size(256)
        known = remembered.get(kind)
        if known is not None and known[0] == encoder.generation:
            block = known[1]
            hits += 1
        else:
            before = encoder.generation
            block = encoder.encode(responses[kind])
            if encoder.generation == before and encoder.settled:
                remembered[kind] = (before, block)
        assert [field.pair for field in decoder.decode(block).fields] == responses[kind]
        assert encoder.table_size == decoder.table_size
    assert hits > 100


def test_generation_changes_with_the_table_and_with_a_pending_update() -> None:
    encoder = Encoder()
    seen = [encoder.generation]
    encoder.encode([(b"server", b"headrace")])
    seen.append(encoder.generation)
    encoder.set_max_table_size(1024)
    seen.append(encoder.generation)
    encoder.encode([])
    seen.append(encoder.generation)
    assert len(set(seen)) == 4
    encoder.encode([(b"server", b"headrace"), (b":status", b"200"), (b"date", b"now")])
    encoder.set_max_table_size(1024)
    assert encoder.generation == seen[-1]


def test_any_iterable_of_pairs_will_do() -> None:
    pairs = ((b":method", b"GET"), (b":scheme", b"https"))
    assert Encoder().encode(iter(pairs)) == Encoder().encode(pairs) == Encoder().encode(list(pairs)) == b"\x82\x87"


def test_the_coded_form_of_a_credential_is_kept_by_its_value_alone() -> None:
    encoder, decoder = Encoder(), hpack.Decoder()
    values = [b"session=%d; theme=dark" % number for number in range(20)] + [b"x" * 5_000, b"", b"\xff\x00"]
    for value in values * 2 + values[::-1]:
        fields = [(b"cookie", value), (b"authorization", value), (b"x-api-key", value), (b"set-cookie", value)]
        assert encoder.encode(fields) == Encoder().encode(fields)
        assert [(bytes(n), bytes(v)) for n, v in decoder.decode(encoder.encode(fields), raw=True)] == fields
        encoder.set_max_table_size(len(value) * 10)
        decoder.max_allowed_table_size = 4_096
        encoder.set_max_table_size(4_096)
        decoder.decode(encoder.encode([(b":status", b"200")]), raw=True)
    assert encoder.table_fields() == []
