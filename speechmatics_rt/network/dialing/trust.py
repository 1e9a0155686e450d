"""Checks the certificates that the environment names, and finds the issuer of one that is refused.

OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` by itself, but does not report a path that does not exist
or a file without certificates: it then refuses every server, as if the server were at fault.
"""

from __future__ import annotations

import os
import re
import ssl
from typing import Any

from ...exceptions import ConfigurationError

__all__ = ["issuer_of", "trust_environment"]

_NAMES = ("organizationName", "organizationalUnitName", "commonName")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # the file names by which OpenSSL finds a certificate


def trust_environment(context: ssl.SSLContext) -> None:
    """Load the certificates that the variables name into a context; empty variables count as not set.

    Raises:
        ConfigurationError: A variable names no usable certificate; the text says what to do in the shell.
    """
    paths = ssl.get_default_verify_paths()
    file = os.environ.get(paths.openssl_cafile_env)
    if file:
        _load_file(context, paths.openssl_cafile_env, file)
    elif file == "" and os.path.isfile(paths.openssl_cafile):
        context.load_verify_locations(cafile=paths.openssl_cafile)
    directories = os.environ.get(paths.openssl_capath_env)
    if directories:
        _check_directories(paths.openssl_capath_env, directories)
    elif directories == "" and os.path.isdir(paths.openssl_capath):
        context.load_verify_locations(capath=paths.openssl_capath)


def _load_file(context: ssl.SSLContext, variable: str, path: str) -> None:
    try:
        with open(path, "rb") as file:
            content = file.read()
        context.load_verify_locations(cafile=path)
    except FileNotFoundError:
        raise _refused(variable, path, "there is no such file") from None
    except IsADirectoryError:
        raise _refused(variable, path, "it is a directory; use SSL_CERT_DIR for directories") from None
    except ssl.SSLError as exc:
        raise _refused(variable, path, _what_is_wrong(content, path)) from exc
    except OSError as exc:
        raise _refused(variable, path, f"it can't be read ({exc.strerror})") from exc


def _what_is_wrong(content: bytes, path: str) -> str:
    if not content:
        return "the file is empty"
    if content[:1] == b"\x30":  # a SEQUENCE, with which a certificate begins
        return f"it is DER, not PEM; convert it with openssl x509 -inform der -in {path} -out ca.pem"
    if b"-----BEGIN " in content:
        return "the certificate in it is damaged"
    return "it holds no certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----"


def _check_directories(variable: str, value: str) -> None:
    found = []
    try:
        for directory in filter(os.path.isdir, value.split(os.pathsep)):
            found += [directory]
            if any(map(_HASHED.fullmatch, os.listdir(directory))):
                return
    except OSError as exc:
        raise _refused(variable, value, f"it can't be read ({exc.strerror})") from exc
    if found:
        raise _refused(
            variable,
            value,
            f"no file in it has the name by which OpenSSL finds it; run openssl rehash {found[0]}",
        )
    if os.path.isfile(value):
        raise _refused(variable, value, "it is a file; use SSL_CERT_FILE for files")
    raise _refused(variable, value, "there is no such directory")


def _refused(variable: str, value: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable} is {value}: {why}. Correct it, or unset {variable} to trust what the system trusts"
    )


def issuer_of(tls: ssl.SSLObject) -> str:
    """Return who issued the certificate that has just been refused; empty if Python can't tell.

    Public methods return trusted certificates only. After a refusal, the private socket object has the chain
    that was sent, from Python 3.10 on.
    """
    chain: Any = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", list)()
    if not chain or not hasattr(chain[0], "get_info"):
        return ""
    issuer = chain[0].get_info().get("issuer", ())
    told = ", ".join(value for part in issuer for name, value in part if name in _NAMES)
    return "".join(char if char.isprintable() else " " for char in told)[:200]  # not to be trusted
