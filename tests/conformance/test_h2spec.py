"""h2spec, strict, over TLS and in cleartext; and two bad servers, so that a broken runner cannot look green."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance import controls, h2spec
from tests.support.process import Served, serving

pytestmark = pytest.mark.tool


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("tests.conformance.page:app", tls=True) as server:
        yield server


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_strict_case_passes(served: Served, scheme: str) -> None:
    report = h2spec.run(served.ports[scheme], tls=scheme == "https")
    assert report.failed == []
    assert report.skipped == []
    assert len(report.passed) >= h2spec.CASES


def test_control_a_server_that_closes_at_once_passes_next_to_nothing() -> None:
    with controls.serving(controls.closes_at_once) as port:
        report = h2spec.run(port)
    assert report.total >= h2spec.CASES
    assert len(report.passed) <= 3


def test_control_a_server_that_never_refuses_fails_where_refusing_is_asked() -> None:
    # Two sections, since each case that waits in vain for a refusal costs its whole time.
    with controls.serving(controls.says_yes) as port:
        report = h2spec.run(port, "generic/3", "http2/6.5", case_timeout_s=1)
    assert len(report.passed) >= 10, "a server that answers each request passes the cases that ask no more"
    assert len(report.failed) >= 5, "a server that never refuses cannot pass the cases that ask for a refusal"
