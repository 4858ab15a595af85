"""RFC 7541 §5.2 and Appendix B: string literals, plain and in Huffman code, in both implementations of the code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.hpack import Decoder, HPACKError, huffman, huffman_rows
from headrace.engine.hpack.huffman_table import CODE_LENGTHS, CODES, EOS, EOS_LENGTH
from headrace.engine.hpack.writer import BytesWriter

from tests.properties.profile import tries


def encode(text: bytes) -> bytes:
    out = BytesWriter()
    huffman.encode_into(out, text)
    return out.getvalue()


def encode_by_window(text: bytes) -> bytes:
    out = BytesWriter()
    huffman.encode_by_window(out, text)
    return out.getvalue()


def decode(data: bytes) -> bytes:
    return huffman.decode(data, 0, len(data))


def decode_by_window(data: bytes) -> bytes:
    return huffman.decode_by_window(data, 0, len(data))


ENCODERS = [encode, encode_by_window, huffman_rows.encode]
DECODERS = [decode, decode_by_window]

EXAMPLES = {
    "f1e3c2e5f23a6ba0ab90f4ff": b"www.example.com",
    "a8eb10649cbf": b"no-cache",
    "25a849e95ba97d7f": b"custom-key",
    "25a849e95bb8e8b4bf": b"custom-value",
    "6402": b"302",
    "aec3771a4b": b"private",
    "d07abe941054d444a8200595040b8166e082a62d1bff": b"Mon, 21 Oct 2013 20:13:21 GMT",
    "9d29ad171863c78f0b97c8e9ae82ae43d3": b"https://www.example.com",
    "640eff": b"307",
    "9bd9ab": b"gzip",
    "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007": (
        b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
    ),
}


def bits(codes: str) -> bytes:
    """Bytes from a string of 0 and 1, as they stand."""
    codes = codes.replace(" ", "")
    return int(codes, 2).to_bytes(len(codes) // 8, "big")


def code(symbol: int) -> str:
    return format(CODES[symbol], f"0{EOS_LENGTH if symbol == EOS else CODE_LENGTHS[symbol]}b")


def test_the_code_is_that_of_an_independent_implementation() -> None:
    assert list(CODE_LENGTHS) == list(REQUEST_CODES_LENGTH)[:256]
    assert list(CODES) == list(REQUEST_CODES)
    assert CODES[EOS] == 2**30 - 1


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("data", "text"), EXAMPLES.items(), ids=[text.decode() for text in EXAMPLES.values()])
def test_examples_of_appendix_c_decode(decoder: Callable[[bytes], bytes], data: str, text: bytes) -> None:
    assert decoder(bytes.fromhex(data)) == text


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("data", "text"), EXAMPLES.items(), ids=[text.decode() for text in EXAMPLES.values()])
def test_examples_of_appendix_c_encode(encoder: Callable[[bytes], bytes], data: str, text: bytes) -> None:
    assert encoder(text).hex() == data


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_byte_has_its_code(decoder: Callable[[bytes], bytes]) -> None:
    for byte in range(256):
        once = code(byte)
        padded = once + "1" * (-len(once) % 8)
        assert decoder(bits(padded)) == bytes([byte])
    everything = bytes(range(256))
    assert decoder(encode(everything)) == everything


@given(st.binary(max_size=300))
@tries(100)
def test_any_bytes_survive_all_ways(text: bytes) -> None:
    data = encode(text)
    assert data == encode_by_window(text) == huffman_rows.encode(text)
    assert huffman.encoded_length(text) == huffman_rows.encoded_length(text) == len(data)
    assert decode(data) == decode_by_window(data) == text
    assert huffman_rows.decode(data) in (text, None)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\")))
@tries(100)
def test_the_rows_decode_all_text(text: str) -> None:
    assert huffman_rows.decode(encode(text.encode())) == text.encode()


@given(st.binary(max_size=60))
@tries(100)
def test_both_decoders_agree_on_any_input(data: bytes) -> None:
    quick = huffman_rows.decode(data)
    try:
        thorough: bytes | None = decode_by_window(data)
    except HPACKError:
        thorough = None
    assert quick in (thorough, None)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(bits(code(EOS) + "11"), "EOS", id="EOS alone"),
        pytest.param(bits(code(ord("a")) + code(EOS) + "11111"), "EOS", id="EOS behind a symbol"),
        pytest.param(bits(code(ord("a")) + code(EOS) + code(ord("a"))), "EOS", id="EOS inside"),
        pytest.param(b"\xff", "longer than seven bits", id="eight ones"),
        pytest.param(bits(code(ord("0")) + "111" + "11111111"), "longer than seven bits", id="eleven ones"),
        pytest.param(bits(code(ord("0")) + "000"), "not all ones", id="zeros"),
        pytest.param(bits(code(ord("0")) + "110"), "not all ones", id="last bit zero"),
        pytest.param(bits("11111111 11111110"), "cut off", id="a long code cut off"),
    ],
)
def test_malformed_strings(decoder: Callable[[bytes], bytes], data: bytes, reason: str) -> None:
    with pytest.raises(HPACKError, match=reason) as caught:
        decoder(data)
    assert caught.value.section == "RFC 7541 §5.2"


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("pad", range(8))
def test_up_to_seven_ones_are_padding(decoder: Callable[[bytes], bytes], pad: int) -> None:
    for text in (b"0" * fives + b"b" * sixes for fives in range(8) for sixes in range(8)):
        length = sum(CODE_LENGTHS[byte] for byte in text)
        if text and -length % 8 == pad:
            assert decoder(encode(text)) == text
            return
    pytest.fail("no text of that length was found")


def test_the_empty_string() -> None:
    assert encode(b"") == b"" == decode(b"") == decode_by_window(b"")


@pytest.mark.parametrize(
    ("block", "section"),
    [
        pytest.param(b"\x00", "RFC 7541 §5.2", id="no name"),
        pytest.param(b"\x00\x01a", "RFC 7541 §5.2", id="no value"),
        pytest.param(b"\x00\x02a", "RFC 7541 §5.2", id="name cut off"),
        pytest.param(b"\x00\x01a\x05abcd", "RFC 7541 §5.2", id="value cut off"),
        pytest.param(b"\x00\x01a\x7f", "RFC 7541 §5.1", id="length cut off"),
        pytest.param(b"\x00\x01a\x7f\xff\xff\xff\xff\x0f", "RFC 7541 §5.1", id="length beyond 32 bits"),
        pytest.param(b"\x00\x01a\x7f\x80\xff\xff\xff\x0f", "RFC 7541 §5.2", id="length of 4 GiB"),
    ],
)
def test_a_string_stays_within_the_block(block: bytes, section: str) -> None:
    with pytest.raises(HPACKError) as caught:
        Decoder().decode(block)
    assert caught.value.section == section
