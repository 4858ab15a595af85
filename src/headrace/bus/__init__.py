"""Messages between handlers: a publisher of a topic reaches all its subscribers without knowing them."""

from headrace.bus.interface import Bus, Subscription
from headrace.bus.local import LocalBus

__all__ = ["Bus", "LocalBus", "Subscription"]
