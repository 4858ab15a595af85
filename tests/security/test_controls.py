"""Negative controls of the rows whose defence is a rule: without it, the row's own test must fail.

A limit is turned off by a limit, beside its row. A rule is taken out of the engine here (weakened.py), and then the
test that proves the rule is called, with the arguments that it proves it with: it has to notice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.properties import test_windows
from tests.security import test_exhaustion, test_hpack, test_smuggling
from tests.security.support import weakened
from tests.security.support.weakened import Weakening

Control = tuple[Weakening, Callable[..., None], tuple[Any, ...]]

CONTROLS: dict[str, Control] = {
    "CVE-2019-9516 zero-length headers": (weakened.empty_names_pass, test_exhaustion.test_zero_length_headers, ()),
    "CVE-2019-9518 PUSH_PROMISE": (
        weakened.push_promise_is_unknown, test_exhaustion.test_empty_frames, ("push-promise",)
    ),
    "CVE-2026-50560 impossible reply": (weakened.list_size_is_enforced, test_exhaustion.test_impossible_reply, ()),
    "CVE-2026-78669 flips by the stream": (
        weakened.settings_cost_by_the_stream,
        test_exhaustion.test_initial_window_flips_do_not_cost_by_the_stream,
        (),
    ),
    "CVE-2025-23085 teardown leaks": (
        weakened.ended_connections_are_kept, test_exhaustion.test_teardown_leaks_nothing, (100,)
    ),
    "CVE-2026-59980 endless integer": (weakened.integers_never_end, test_hpack.test_integer_overflow, ()),
    "CVE-2026-93492 table inflation": (weakened.encoder_follows_the_peer, test_hpack.test_encoder_table_inflation, ()),
    **{
        f"desync: {how}": (
            weakened.blocks_of_dead_streams_are_skipped, test_hpack.test_shared_state_stays_in_step, (how,)
        )
        for how in test_hpack.DESYNC
    },
    **{
        f"table size update: {row}": (
            weakened.table_sizes_are_believed, test_hpack.test_table_size_updates_misused, (row,)
        )
        for row in ("above the limit", "three in a row")
    },
    **{
        f"Huffman: {trap} in a {where}": (weakened.huffman_is_not_checked, test_hpack.test_huffman_traps, (trap, where))
        for trap in test_hpack.HUFFMAN_TRAPS
        for where in ("name", "value")
    },
    "CVE-2026-123007 double refund": (weakened.resets_refund_twice, test_windows.test_sum_of_credit_is_invariant, ()),
    "CRIME": (weakened.secrets_are_indexed, test_hpack.test_secrets_are_never_indexed, ()),
    "CVE-2026-78659 trailer map": (weakened.trailer_names_are_mapped, test_hpack.test_trailer_map, ()),
    **{
        f"content-length: {row}": (
            weakened.lengths_are_not_compared, test_smuggling.test_content_length_against_data, row
        )
        for row in test_smuggling.LENGTHS
        if not row[-1]
    },
    "CVE-2021-21409 declared length": (
        weakened.lengths_are_reserved,
        test_smuggling.test_declared_length_is_not_believed_before_bytes_come,
        (),
    ),
    **{
        f"CR, LF, NUL: {byte:#04x} in {where}": (
            weakened.fields_are_believed, test_smuggling.test_cr_lf_nul, (byte, where)
        )
        for byte in test_smuggling.LINE_BYTES
        for where in test_smuggling.PLACES
    },
    **{
        f"pseudo-header fields: {row}": (
            weakened.fields_are_believed, test_smuggling.test_pseudo_header_abuse, (row,)
        )
        for row in test_smuggling.PSEUDO
    },
    **{
        f"smuggling: {row}": (
            weakened.fields_are_believed, test_smuggling.test_smuggling_fields, (test_smuggling.SMUGGLED[row],)
        )
        for row in test_smuggling.SMUGGLED
    },
    "cookie crumbs": (weakened.fields_are_believed, test_smuggling.test_cookie_crumbs_join_in_linear_work, ()),
    **{
        f"CONNECT {n}": (weakened.fields_are_believed, test_smuggling.test_connect_abuse, row)
        for n, row in enumerate(test_smuggling.CONNECT)
        if not row[-1]
    },
    "CVE-2026-42545 fields of the app": (
        weakened.answers_are_not_checked, test_smuggling.test_fuzzed_fields_of_the_app, ()
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", CONTROLS)
def test_without_its_rule_the_row_fails(row: str) -> None:
    """The issue's "limits off: the test must fail", for rules."""
    weaken, test, arguments = CONTROLS[row]
    with weakened.weakened(weaken), pytest.raises((AssertionError, ExceptionGroup)):  # Hypothesis may find two
        test(*arguments)


@pytest.mark.parametrize("name", test_smuggling.KNOWN_FIELDS)
def test_without_bytes_odd_ones_would_crash(name: bytes) -> None:
    """Granian CVE-2026-42544: an engine that takes values for text raises, which the row's test notices."""
    with weakened.weakened(weakened.values_are_text), pytest.raises(UnicodeDecodeError):
        test_smuggling.test_odd_bytes_in_well_known_fields(name)
