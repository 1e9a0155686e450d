"""Certificates as a person reads them: whose they are, who issued them, how long they hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

__all__ = ["Certificate", "Refusal"]

# OpenSSL's numbers of why a certificate is refused.
_NOT_YET, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_HOUR = 3600.0  # of a clock: less than that is no reason for a certificate to be refused


class Certificate(NamedTuple):
    """What :meth:`ssl.SSLSocket.getpeercert` tells, in words.

    Attributes:
        subject: Whose it is.
        issuer: Who says so.
        names: The hosts it is for.
        not_before, not_after: When it holds, as the certificate writes it.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: str
    not_after: str

    @classmethod
    def of(cls, decoded: Mapping[str, Any]) -> Certificate:
        """Read one.

        Example:
            >>> Certificate.of({
            ...     "subject": ((("commonName", "asr.example"),),),
            ...     "issuer": ((("organizationName", "Example Trust"),), (("commonName", "Root 1"),)),
            ...     "subjectAltName": (("DNS", "asr.example"),),
            ...     "notBefore": "Jan  1 00:00:00 2026 GMT", "notAfter": "Jan  1 00:00:00 2027 GMT",
            ... }).issuer
            'Root 1 (Example Trust)'
        """
        return cls(
            _name(decoded.get("subject", ())),
            _name(decoded.get("issuer", ())),
            tuple(str(value) for _, value in decoded.get("subjectAltName", ())),
            str(decoded.get("notBefore", "")),
            str(decoded.get("notAfter", "")),
        )

    @property
    def described(self) -> str:
        whose = self.subject or (self.names[0] if self.names else "nobody by name")
        if self.subject == self.issuer:
            return f"the certificate of {whose}, which it has issued itself"
        return f"the certificate of {whose}, issued by {self.issuer or 'nobody by name'}"

    def facts(self) -> dict[str, Any]:
        return {**self._asdict(), "names": list(self.names)}


def _name(parts: Any) -> str:
    """Write a distinguished name: the common name, and whose it is."""
    found = {key: value for part in parts for key, value in part}
    common = found.get("commonName") or found.get("organizationalUnitName")
    organization = found.get("organizationName")
    if common and organization:
        return f"{common} ({organization})"
    return str(common or organization or "")


class Refusal(NamedTuple):
    """A certificate that was not believed.

    Attributes:
        code: OpenSSL's number of the reason.
        reason: OpenSSL's words for it.
        certificate: Which; None if it could not be read.
    """

    code: int
    reason: str
    certificate: Optional[Certificate]

    @property
    def is_of_time(self) -> bool:
        return self.code in (_NOT_YET, _EXPIRED)

    def text(self, address: str) -> str:
        shown = "a certificate" if self.certificate is None else self.certificate.described
        return f"{address} showed {shown}; it was refused: {self.reason}"

    def advice(self, host: str, skew: Optional[float]) -> str:
        """Say what to do.

        Args:
            skew: How many seconds our clock is ahead of the server's, if that is known.
        """
        known = self.certificate
        if self.is_of_time:
            if skew is not None and abs(skew) > _HOUR:
                return "the server's clock says another time than ours; set this machine's clock first"
            until = "" if known is None else f" (it holds from {known.not_before} to {known.not_after})"
            return f"ask the operator of {host} to renew it{until}; or is this machine's clock wrong?"
        if self.code in (_WRONG_HOST, _WRONG_ADDRESS):
            names = "" if known is None else ", ".join(known.names)
            return f"it is for {names or 'other hosts'}; give the address by that name"
        # Proxies that inspect traffic present a certificate of their own for every host.
        issuer = (known.issuer if known is not None else "") or "its issuer"
        return (
            f"if {issuer} is your own or your company's, get its CA as PEM and name it in SSL_CERT_FILE; "
            "if it is unknown to you, the connection may be intercepted: send no key"
        )
