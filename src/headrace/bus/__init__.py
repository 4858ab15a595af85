"""Messages between handlers: whoever publishes to a topic reaches all who subscribe to it, and knows none of them."""

from headrace.bus.interface import Bus, Subscription
from headrace.bus.local import LocalBus

__all__ = ["Bus", "LocalBus", "Subscription"]
