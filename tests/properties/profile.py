"""How hard Hypothesis tries: the same examples on every run, so that a red test is red for everybody.

`make test` takes a third of the examples, `make test-all` and `.ci/run` take all. HEADRACE_HYPOTHESIS_EXAMPLES raises
their number for a long search by hand, which is then random.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.conftest import amount

# Taken out of the environment: the servers that tests start refuse HEADRACE_ variables that are not settings.
LONG = int(os.environ.pop("HEADRACE_HYPOTHESIS_EXAMPLES", "0"))


def tries(examples: int) -> settings:
    """Settings for a property that is worth `examples` examples in every long run."""
    return settings(
        max_examples=LONG or amount(-(-examples // 3), examples),
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
