"""TLS for a server: the context that HTTP/2 requires, and a local certificate for development.

RFC 9113 §9.2 asks for TLS 1.2 or later, without compression and renegotiation, and §9.2.2 with Appendix A rules out
most cipher suites of TLS 1.2; the rest is ephemeral key exchange with AEAD. ALPN offers only the served protocols.
"""

from __future__ import annotations

import datetime
import os
import re
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")

_VALID_DAYS: Final = 397  # the longest that the stricter platforms accept of a certificate
_RENEW_DAYS: Final = 7
_EXPIRY_LINE: Final = re.compile(rb"not after (\S+)\n")


class TLSConfigError(ValueError):
    """Raised for an unusable certificate or key. The message is one sentence that names the file."""


def server_context(
    cert: str | Path,
    key: str | Path | None = None,
    password: str | None = None,
    protocols: Sequence[str] = ("h2", "http/1.1"),
) -> ssl.SSLContext:
    """Return a context that serves `protocols`, in order of preference, with the PEM certificate chain in `cert`.

    `key` is the PEM file of the private key, None when `cert` holds it; `password` opens an encrypted one. The caller
    must still close a connection on which ALPN did not choose `h2`: a client may not send ALPN. Raises TLSConfigError
    for a file that is missing, is not PEM, does not match the other, or cannot be decrypted.
    """
    _require_pem(Path(cert), b"CERTIFICATE", "a certificate")
    _require_pem(Path(key or cert), b"PRIVATE KEY", "a private key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(list(protocols))
    asked = False

    def give_password() -> str:
        # A callable, also when there is no password: without it OpenSSL would ask the terminal, and wait.
        nonlocal asked
        asked = True
        if password is None:
            raise TLSConfigError(f"{key or cert}: the private key is encrypted; give its password")
        return password

    try:
        context.load_cert_chain(cert, key, give_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TLSConfigError(
                f"{key or cert}: the private key does not belong to the certificate in {cert}"
            ) from None
        if asked:
            raise TLSConfigError(f"{key or cert}: the password does not open the private key") from None
        files = str(cert) if key is None else f"{cert} with {key}"
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise TLSConfigError(f"{files}: OpenSSL cannot use it ({reason})") from None
    return context


def _require_pem(path: Path, label: bytes, what: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TLSConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if not re.search(rb"-----BEGIN [A-Z0-9 ]*" + label + rb"-----", content):
        hint = "; it looks like DER, convert it to PEM" if content.startswith(b"\x30\x82") else ""
        raise TLSConfigError(f"{path}: there is no {what.partition(' ')[2]} in PEM form in this file{hint}")


def local_certificate(directory: Path | None = None, *, now: datetime.datetime | None = None) -> Path:
    """Return the PEM file of a certificate and key for localhost, made when there is none or the old one is about to
    expire.

    It is kept in `directory` (default: `state_directory()`) as `localhost.pem`, readable by its owner only. Beside it
    is `localhost-ca.pem`, for clients that shall trust it: that authority's key is discarded after signing. Raises
    TLSConfigError when the package `trustme` is missing or the directory cannot be written.
    """
    directory = state_directory() if directory is None else directory
    now = datetime.datetime.now(datetime.UTC) if now is None else now
    path = directory / "localhost.pem"
    if not _is_fresh(path, now):
        try:
            _make_local_certificate(path, now + datetime.timedelta(days=_VALID_DAYS))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            where = error.filename or directory
            raise TLSConfigError(f"{where}: the local certificate cannot be kept here ({reason})") from None
    return path


def state_directory() -> Path:
    """Return the folder for files that headrace makes: `$XDG_STATE_HOME/headrace`, or `~/.local/state/headrace`."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "headrace"


def _is_fresh(path: Path, now: datetime.datetime) -> bool:
    """Return True when the file holds a certificate of ours that is usable for some days more."""
    try:
        match = _EXPIRY_LINE.search(path.read_bytes())
        if match is None or path.stat().st_mode & 0o077:
            return False
        expiry = datetime.datetime.fromisoformat(match[1].decode("ascii"))
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    return expiry - now > datetime.timedelta(days=_RENEW_DAYS)


def _make_local_certificate(path: Path, expiry: datetime.datetime) -> None:
    try:
        import trustme
    except ImportError:
        raise TLSConfigError(
            "a local certificate needs the package trustme; install headrace[dev-tls], or give a certificate and key"
        ) from None
    authority = trustme.CA(organization_name="headrace", organization_unit_name="local development")
    leaf = authority.issue_cert(*LOCAL_NAMES, common_name="localhost", not_after=expiry)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Key and chain in one file, put in place by one rename: two servers that start together never mix theirs.
    _replace(
        path,
        b"headrace: local certificate, not after "
        + expiry.isoformat(timespec="seconds").encode("ascii")
        + b"\n"
        + leaf.private_key_pem.bytes()
        + b"".join(blob.bytes() for blob in leaf.cert_chain_pems),
    )
    _replace(path.with_name("localhost-ca.pem"), authority.cert_pem.bytes())


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600 from the start
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
