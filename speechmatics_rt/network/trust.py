"""The certificates that the environment says to trust, and who issued one that is not trusted.

OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` by itself, but is silent about a path where nothing
is and about a file in which it finds no certificate: then every server is refused, as if that were wrong.
"""

from __future__ import annotations

import os
import re
import ssl
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["issuer_of", "trust_environment"]

_NAMES = ("organizationName", "organizationalUnitName", "commonName")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # the names by which OpenSSL looks for a certificate


def trust_environment(context: ssl.SSLContext) -> None:
    """Load what the variables name into a context; those that are empty count as not set.

    Raises:
        ConfigurationError: One names nothing that can be trusted; says what to do in the shell.
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
        raise _refused(variable, path, "that is a directory; for directories there is SSL_CERT_DIR") from None
    except ssl.SSLError as exc:
        raise _refused(variable, path, _what_is_wrong(content, path)) from exc
    except OSError as exc:
        raise _refused(variable, path, f"it can't be read ({exc.strerror})") from exc


def _what_is_wrong(content: bytes, path: str) -> str:
    if not content:
        return "the file is empty"
    if content[:1] == b"\x30":  # a SEQUENCE, as which a certificate begins
        return f"that is DER, where PEM is wanted; openssl x509 -inform der -in {path} -out ca.pem turns it"
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
            f"no file there has the name it is looked for by; openssl rehash {found[0]} links it",
        )
    if os.path.isfile(value):
        raise _refused(variable, value, "that is a file; for files there is SSL_CERT_FILE")
    raise _refused(variable, value, "there is no such directory")


def _refused(variable: str, value: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable} is {value}: {why}. Correct it, or trust what the system trusts: unset {variable}"
    )


def issuer_of(tls: ssl.SSLSocket) -> str:
    """Say who issued the certificate that this socket has just refused; empty where Python can't tell.

    What it shows in public is believed. What was sent it knows beneath, from 3.10 on, after a refusal too.
    """
    chain: Any = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", list)()
    if not chain or not hasattr(chain[0], "get_info"):
        return ""
    issuer = chain[0].get_info().get("issuer", ())
    told = ", ".join(value for part in issuer for name, value in part if name in _NAMES)
    return "".join(char if char.isprintable() else " " for char in told)[:200]  # a stranger's words
