"""A page that shows HTTP/2 at work, served by headrace: `headrace serve headrace.demo:app --dev-tls`.

Two hundred small pictures come over one connection, while a streamed response on the same connection shows the page
that connection's own statistics. It is also an example of a native application: a function of the request.
"""

from headrace.demo.site import app

__all__ = ["app"]
