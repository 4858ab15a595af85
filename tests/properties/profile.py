"""How hard Hypothesis tries: the same examples on every run, so that a red test is red for everybody.

HEADRACE_HYPOTHESIS_EXAMPLES raises the number of examples for a long search by hand, which is then random.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Taken out of the environment: the servers that tests start refuse HEADRACE_ variables that are not settings.
LONG = int(os.environ.pop("HEADRACE_HYPOTHESIS_EXAMPLES", "0"))


def tries(examples: int) -> settings:
    """Settings for a property that is worth `examples` examples in every test run."""
    return settings(
        max_examples=LONG or examples,
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
