"""A milter that signs what leaves by the smarthost, as Amazon SES does for a verified domain.

Usage: signer.py SOCKET SELECTOR KEY DOMAINS, with Debian's python3-milter and -dkim.

The signature (RFC 6376) is under the author's domain, whatever the envelope's sender: that is what
makes bounces and other mail without a sender pass DMARC (RFC 7489). KEY is a file with an RSA key
in PEM; DOMAINS a table of access(5), whose names are the account's domains.
"""

from __future__ import annotations

import email.utils
import sys
from pathlib import Path

import dkim
import Milter

TIMEOUT = 600
"""Seconds that the mail server may leave the milter without a word."""


@Milter.header_leading_space
class Signer(Milter.Base):
    """One connection of a client; the class's attributes are set by `main`."""

    selector = b""
    key = b""
    domains = Path()

    def envfrom(self, _sender: str, *_parameters: str) -> int:
        self._author = ""
        self._lines: list[bytes] = []
        return Milter.CONTINUE

    @Milter.decode("bytes")
    def header(self, name: str, value: bytes) -> int:
        self._lines.append(name.encode() + b":" + value.replace(b"\n", b"\r\n") + b"\r\n")
        if name.lower() == "from":
            self._author = email.utils.parseaddr(value.decode(errors="replace"))[1]
        return Milter.CONTINUE

    def eoh(self) -> int:
        self._lines.append(b"\r\n")
        return Milter.CONTINUE

    def body(self, chunk: bytes) -> int:
        self._lines.append(chunk)
        return Milter.CONTINUE

    def eom(self) -> int:
        domain = self._author.rpartition("@")[2].lower()
        if domain in {line.split()[0] for line in self.domains.read_text().splitlines()}:
            message = b"".join(self._lines)
            field = dkim.sign(message, self.selector, domain.encode(), self.key)
            name, _, value = field.decode().partition(":")
            self.addheader(name, value.replace("\r\n", "\n").rstrip("\n"), 0)
        return Milter.CONTINUE


def main() -> None:
    socket, selector, key, domains = sys.argv[1:]
    Signer.selector, Signer.key = selector.encode(), Path(key).read_bytes()
    Signer.domains = Path(domains)
    Milter.factory = Signer
    Milter.set_flags(Milter.ADDHDRS)
    Milter.runmilter("signer", socket, TIMEOUT)


if __name__ == "__main__":
    main()
