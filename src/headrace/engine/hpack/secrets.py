"""Names of fields whose values must not leak through the size of blocks (RFC 7541 §7.1.3).

One encoder serves all users of a connection, such as the visitors behind a reverse proxy. A value in its table makes a
correct guess shorter than any other value, so these values are never put there, however long they are.
"""

from __future__ import annotations

from typing import Final

SECRET_NAMES: Final = (
    b"authentication-info",
    b"authorization",
    b"cookie",
    b"dpop",
    b"proxy-authentication-info",
    b"proxy-authorization",
    b"set-cookie",
    b"x-amzn-oidc-data",
)
# There is no register of such names: x-api-key, x-auth-token, x-vault-token, cf-access-jwt-assertion, private-token,
# x-csrf-token, ocp-apim-subscription-key, x-amz-security-token and many more. A false alarm costs bytes.
_ENDINGS: Final = (
    b"access-key",
    b"account-key",
    b"api-key",
    b"apikey",
    b"app-key",
    b"application-key",
    b"assertion",
    b"auth",
    b"auth-key",
    b"authorization",
    b"credential",
    b"credentials",
    b"csrf",
    b"jwt",
    b"otp",
    b"passcode",
    b"password",
    b"private-key",
    b"secret",
    b"secret-key",
    b"session",
    b"session-id",
    b"sessionid",
    b"sid",
    b"signature",
    b"subscription-key",
    b"token",
)


def is_secret(name: bytes) -> bool:
    """Return whether an unknown name marks its value as a secret, by its ending. `name` is lowercase."""
    return name.endswith(_ENDINGS) or (name.startswith(b"x-") and name.endswith(b"-key"))
