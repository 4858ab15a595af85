"""TLS for a client: contexts that verify, and error messages for failed handshakes.

The client verifies certificates everywhere, localhost included, by the system's store. RFC 9113 §9.2 asks for TLS 1.2
or later. Its §9.2.2 forbids most cipher suites of TLS 1.2 for HTTP/2, but not for HTTP/1.1. So the suite is checked
after the handshake, when the protocol is known.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, Literal, TypeAlias

from headrace.client.errors import TLSError

Verify: TypeAlias = bool | str | Path | ssl.SSLContext
Certificate: TypeAlias = str | Path | tuple[str | Path, str | Path] | tuple[str | Path, str | Path, str | None]

Protocols: TypeAlias = Literal["any", "h2", "http/1.1"]
"""Protocols that a new connection may speak; with "any", ALPN decides."""
ALPN: Final = {"any": ["h2", "http/1.1"], "h2": ["h2"], "http/1.1": ["http/1.1"]}

_H2_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
_BUNDLES: Final = (  # where systems keep their authorities, for a Python that was built elsewhere and does not know
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_UNKNOWN_AUTHORITY: Final = (2, 19, 20, 21)
_SELF_SIGNED: Final = 18
_REVOKED: Final = 23
_WRONG_NAME: Final = (62, 64)


def client_context(verify: Verify = True, cert: Certificate | None = None, *, http1: bool = True) -> ssl.SSLContext:
    """Return a context for connections to servers, TLS 1.2 or later.

    `verify`: True for the system's store (SSL_CERT_FILE and SSL_CERT_DIR are honoured), a path to a PEM file or a
    directory of authorities instead, False for no verification: then anybody can pose as the server. An SSLContext is
    used unchanged, except for ALPN, which is set before each handshake. `cert` is a client certificate: a PEM file with
    certificate and key, or a pair of files, with a password as the third if the key has one. Without `http1` only the
    cipher suites that HTTP/2 allows are offered.

    Raises TLSError with a sentence that names the file.
    """
    if isinstance(verify, ssl.SSLContext):
        context = verify
    else:
        context = _own_context(verify)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if not http1:
            context.set_ciphers(_H2_CIPHERS)
    if cert is not None:
        _load_certificate(context, cert)
    return context


def _own_context(verify: bool | str | Path) -> ssl.SSLContext:
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if verify is True:
        context = ssl.create_default_context()
        paths = ssl.get_default_verify_paths()
        if not (paths.cafile or paths.capath or context.cert_store_stats()["x509_ca"]):
            bundle = next((each for each in _BUNDLES if Path(each).is_file()), None)
            if bundle is not None:
                context.load_verify_locations(bundle)
        return context
    path = Path(verify)
    try:
        if path.is_dir():
            return ssl.create_default_context(capath=str(path))
        return ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        raise TLSError(f"{path}: there is no certificate of an authority in PEM form in this file") from None
    except OSError as error:
        raise TLSError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _load_certificate(context: ssl.SSLContext, cert: Certificate) -> None:
    file, key, password = cert, None, None
    if isinstance(cert, tuple):
        file, key = cert[0], cert[1]
        password = cert[2] if len(cert) == 3 else None
    assert not isinstance(file, tuple)
    asked = False

    def give_password() -> str:
        # A callable, also when there is no password: without it OpenSSL would ask the terminal, and wait.
        nonlocal asked
        asked = True
        return password or ""

    names = str(file) if key is None else f"{file} with {key}"
    try:
        context.load_cert_chain(file, key, give_password)
    except ssl.SSLError as error:
        if asked:
            reason = "the private key is encrypted, and the password does not open it"
        elif error.reason == "KEY_VALUES_MISMATCH":
            reason = "the private key does not belong to the certificate"
        else:
            reason = f"OpenSSL cannot use it ({_words(error)})"
        raise TLSError(f"{names}: {reason}") from None
    except OSError as error:
        raise TLSError(f"{names}: {(error.strerror or str(error)).lower()}") from None


def server_name(host: str) -> str:
    """Return the name for the handshake and for the check of the certificate: without the final dot of the DNS root."""
    return host.removesuffix(".")


def check_result(ssl_object: ssl.SSLObject, protocols: str, host: str) -> None:
    """Check the result of a handshake. Raises TLSError when `protocols` cannot be spoken on it."""
    chosen = ssl_object.selected_alpn_protocol()
    if chosen is not None and chosen not in ALPN[protocols]:
        raise TLSError(f"{host} chose the protocol {chosen!r}, which was not offered (RFC 7301 §3.2)")
    if chosen != "h2":
        if protocols == "h2":
            raise TLSError(f"{host} does not speak HTTP/2: no common protocol in ALPN, and HTTP/1.1 is switched off")
        return
    cipher = ssl_object.cipher()
    if cipher is not None and not is_h2_cipher(cipher[0], cipher[1]):
        raise TLSError(f"{host} chose HTTP/2 with {cipher[0]}, a cipher suite that HTTP/2 forbids (RFC 9113 §9.2.2)")


def is_h2_cipher(name: str, version: str) -> bool:
    """Return True when a suite, by OpenSSL's name, may carry HTTP/2: ephemeral keys and AEAD (RFC 9113 §9.2.2, Appendix
    A)."""
    if version == "TLSv1.3" or name.startswith("TLS_"):
        return True
    return name.startswith(("ECDHE-", "DHE-")) and ("GCM" in name or "CHACHA20" in name or "CCM" in name)


def handshake_error(error: ssl.SSLError | None, host: str, protocols: str, fallback: str) -> TLSError:
    """Return the error for a failed handshake with `host`, as one sentence. `fallback` is its reason when `error` is
    None."""
    if error is None:
        return TLSError(f"the TLS handshake with {host} failed: {fallback}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return TLSError(_certificate_fault(error, host))
    reason = (error.reason or "").upper()
    if "NO_APPLICATION_PROTOCOL" in reason:
        offered = " or ".join(ALPN[protocols])
        return TLSError(f"{host} and the client have no common protocol: it does not speak {offered} (RFC 7301 §3.2)")
    if "CERTIFICATE_REQUIRED" in reason:
        return TLSError(f"{host} asks for a client certificate, and there is none")
    if "PROTOCOL_VERSION" in reason or reason == "UNSUPPORTED_PROTOCOL":
        return TLSError(f"{host} and the client have no common version of TLS: 1.2 or later is needed")
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"):
        return TLSError(f"{host} does not speak TLS on this port ({_words(error)})")
    if "HANDSHAKE_FAILURE" in reason:
        return TLSError(f"{host} refused the TLS handshake: no common cipher suite, or a client certificate is missing")
    if "ALERT" in reason:
        return TLSError(f"{host} refused the TLS handshake: {_words(error)}")
    return TLSError(f"the TLS handshake with {host} failed: {_words(error)}")


def _certificate_fault(error: ssl.SSLCertVerificationError, host: str) -> str:
    code = error.verify_code
    if code in _WRONG_NAME:
        return f"the certificate of {host} is for another name"
    if code == _EXPIRED:
        return f"the certificate of {host} has expired"
    if code == _NOT_YET_VALID:
        return f"the certificate of {host} is not valid yet; is the clock right?"
    if code == _SELF_SIGNED:
        return f"the certificate of {host} is self-signed, so it proves nothing"
    if code in _UNKNOWN_AUTHORITY:
        return f"the certificate of {host} comes from an unknown authority ({error.verify_message})"
    if code == _REVOKED:
        return f"the certificate of {host} has been revoked"
    return f"the certificate of {host} cannot be trusted: {error.verify_message}"


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
