"""Throwaway certificates for ``wss`` on this machine."""

from __future__ import annotations

import ssl

import trustme

__all__ = ["Certificates"]


class Certificates:
    """A certificate authority that lives as long as this object, and one certificate for this machine.

    Args:
        names: Of the server, besides those of this machine.

    Attributes:
        server_context: For accepted sockets.
        client_context: Trusts this authority and nothing else.
        ca_pem: The authority's certificate, for a file or a client's trust store.
    """

    def __init__(self, *names: str) -> None:
        authority = trustme.CA()
        self.ca_pem: bytes = authority.cert_pem.bytes()
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_context.minimum_version = ssl.TLSVersion.TLSv1_2
        authority.issue_cert(*dict.fromkeys(("127.0.0.1", "::1", "localhost", *names))).configure_cert(
            self.server_context
        )
        self.client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client_context.minimum_version = ssl.TLSVersion.TLSv1_2
        authority.configure_trust(self.client_context)
