"""Field rules of RFC 9113 §8.2-8.3 and RFC 9110 §5.

A `Field` is classified once, into its `kind`; fields of the static and dynamic table keep theirs, so a repeated field
is never examined again. A section that is repeated as a whole keeps its `RequestHead` in `FieldSection.memo`.
"""

from headrace.engine.fields.grammar import (
    has_field_bytes,
    is_authority,
    is_field_name,
    is_field_value,
    is_host,
    is_origin,
    is_path,
    is_token,
)
from headrace.engine.fields.kinds import BAD, CONTENT_LENGTH, HOST, METHOD, PROTOCOL, TE_TRAILERS, classify
from headrace.engine.fields.outgoing import check_outgoing, check_target
from headrace.engine.fields.received import (
    Pairs,
    RequestHead,
    ResponseHead,
    parse_request,
    parse_response,
    parse_trailers,
)

__all__ = [
    "BAD",
    "CONTENT_LENGTH",
    "HOST",
    "METHOD",
    "PROTOCOL",
    "TE_TRAILERS",
    "Pairs",
    "RequestHead",
    "ResponseHead",
    "check_outgoing",
    "check_target",
    "classify",
    "has_field_bytes",
    "is_authority",
    "is_field_name",
    "is_field_value",
    "is_host",
    "is_origin",
    "is_path",
    "is_token",
    "parse_request",
    "parse_response",
    "parse_trailers",
]
