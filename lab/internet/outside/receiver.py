"""A milter that judges mail from strangers as large receivers do; it runs on an outside mail host.

Usage: receiver.py SOCKET NAME LOG, with Debian's python3-milter, -spf, -dkim, -authheaders.

The client's address must have a name that leads back to it (RFC 8601 section 2.7.3, "iprev"), its
EHLO name must lead to it (RFC 5321 section 4.1.4), SPF must pass for the envelope sender, or for
the EHLO name if that is empty (RFC 7208 section 2.4), and DMARC for the one author's domain as far
as its policy asks for it (RFC 7489). What fails gets 550, or 451 if the DNS did not answer. Every
verdict is a line of JSON in LOG; a message that passes says it in Authentication-Results.

A recipient `slow-N` has the answer to the message's end wait for N seconds.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import dkim
import dns.exception
import dns.resolver
import Milter
import spf
from authheaders.dmarc_lookup import DMARCException, get_org_domain, receiver_record

TIMEOUT = 600
"""Seconds that the mail server may leave the milter without a word; what `slow-N` may take."""
_SLOW = re.compile(r"slow-(\d+)@", re.IGNORECASE)

org_domain = lru_cache(maxsize=None)(get_org_domain)
"""Each look-up reads the whole public suffix list."""


class Refused(Exception):
    """The reply that the message gets: code, enhanced status code (RFC 3463, RFC 7372), text."""

    def __init__(self, code: str, status: str, text: str) -> None:
        super().__init__(text)
        self.code, self.status, self.text = code, status, text


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What the client said before the message; an empty `sender` is the null reverse-path."""

    address: str
    helo: str
    sender: str


def addresses(name: str) -> set[str]:
    """The IPv4 addresses of a name; none if it has none. Raises Refused if the DNS fails."""
    return {record.to_text() for record in _look_up(name, "A")}


def reverse_names(address: str) -> list[str]:
    """The names that an address claims to have; raises Refused if the DNS fails."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    return [record.to_text().rstrip(".").lower() for record in _look_up(pointer, "PTR")]


def _look_up(name: str, kind: str) -> list:
    try:
        return list(dns.resolver.resolve(name, kind, search=False))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.exception.SyntaxError):
        return []
    except dns.exception.DNSException as error:
        raise Refused("451", "4.4.3", f"DNS failed for {name} {kind}: {error}") from error


def check_reverse(envelope: Envelope) -> str:
    """A name of the client's address that leads back to it; raises Refused if there is none."""
    names = reverse_names(envelope.address)
    for name in names:
        if envelope.address in addresses(name):
            return name
    said = f"its names {', '.join(names)} do not lead back to it" if names else "it has no name"
    raise Refused("550", "5.7.25", f"reverse DNS of {envelope.address}: {said}")


def check_helo(envelope: Envelope) -> None:
    """Raises Refused unless the EHLO name leads to the client."""
    if envelope.address not in addresses(envelope.helo):
        raise Refused("550", "5.7.25", f"EHLO {envelope.helo} does not lead to {envelope.address}")


def check_spf(envelope: Envelope) -> str:
    """The domain for which SPF passed; raises Refused otherwise."""
    result, why = spf.check2(i=envelope.address, s=envelope.sender, h=envelope.helo)
    identity = envelope.sender.rpartition("@")[2] if envelope.sender else envelope.helo
    if result == "pass":
        return identity.lower()
    text = f"SPF of {identity} for {envelope.address}: {result}: {why}"
    if result == "temperror":
        raise Refused("451", "4.7.24", text)
    raise Refused("550", "5.7.24" if result == "permerror" else "5.7.23", text)


def author_domain(message: bytes) -> str:
    """The domain of the one address in the one From field; raises Refused (RFC 5322, 3.6.2)."""
    fields = email.message_from_bytes(message).get_all("From", [])
    authors = email.utils.getaddresses([str(field) for field in fields])
    domains = {address.rpartition("@")[2].lower() for _, address in authors}
    if len(fields) != 1 or len(domains) != 1 or "" in domains:
        raise Refused("550", "5.6.0", f"one From field with one domain is needed, not {fields}")
    return domains.pop()


def signing_domains(message: bytes) -> set[str]:
    """The domains whose DKIM signatures verify (RFC 6376)."""
    found = set()
    count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(message)[0])
    for number in range(count):
        signature = dkim.DKIM(message)
        try:
            if signature.verify(idx=number):
                found.add(signature.domain.decode().lower())
        except dkim.DKIMException as error:
            print(f"signature {number} does not verify: {error}", flush=True)
    return found


def check_dmarc(author: str, spf_domain: str, signers: set[str]) -> tuple[str, str]:
    """DMARC's result and the policy in force for the author's domain.

    Raises Refused if the policy asks for it.
    """
    try:
        record, parent = receiver_record(author)
    except DMARCException as error:
        return "permerror", str(error)
    except dns.exception.DNSException as error:
        raise Refused("451", "4.4.3", f"DNS failed for DMARC of {author}: {error}") from error
    if not record:
        return "none", ""
    policy = record.get("sp", record["p"]) if parent else record["p"]
    aligned = _aligned(author, spf_domain, record.get("aspf", "r")) or any(
        _aligned(author, signer, record.get("adkim", "r")) for signer in signers
    )
    if not aligned and policy != "none":
        passed = ", ".join(sorted({spf_domain, *signers}))
        text = f"DMARC policy {policy} of {author}: only {passed} passed SPF or DKIM"
        raise Refused("550", "5.7.26", text)
    return "pass" if aligned else "fail", policy


def _aligned(author: str, domain: str, mode: str) -> bool:
    """RFC 7489 section 3.1: the same domain (strict), or of one organization (relaxed)."""
    return author == domain if mode == "s" else org_domain(author) == org_domain(domain)


def judge(envelope: Envelope, message: bytes) -> dict[str, str]:
    """What was found of a message, in the order of the checks; raises Refused at the first flaw."""
    found = {"iprev": check_reverse(envelope)}
    check_helo(envelope)
    found["spf"] = check_spf(envelope)
    found["from"] = author_domain(message)
    signers = signing_domains(message)
    found["dkim"] = ", ".join(sorted(signers))
    found["dmarc"], found["policy"] = check_dmarc(found["from"], found["spf"], signers)
    return found


def results(name: str, envelope: Envelope, found: Mapping[str, str]) -> str:
    """The Authentication-Results field of a message that passed (RFC 8601)."""
    methods = [
        f"iprev=pass policy.iprev={envelope.address} ({found['iprev']})",
        f"spf=pass smtp.{'mailfrom' if envelope.sender else 'helo'}={found['spf']}",
        *(f"dkim=pass header.d={signer}" for signer in found["dkim"].split(", ") if signer),
        f"dmarc={found['dmarc']} (policy {found['policy'] or 'none'}) header.from={found['from']}",
    ]
    return ";\n\t".join([name, *methods])


@Milter.header_leading_space
class Receiver(Milter.Base):
    """One connection of a client; `NAME` and `LOG` are set by `main`."""

    name = ""
    log = ""

    def connect(self, _host: str, _family: int, address: tuple[str, int]) -> int:
        # What is sent on the host itself was accepted when it was handed in.
        if ipaddress.ip_address(address[0]).is_loopback:
            return Milter.ACCEPT
        self._address, self._helo = address[0], ""
        return Milter.CONTINUE

    def hello(self, name: str) -> int:
        self._helo = name
        return Milter.CONTINUE

    def envfrom(self, sender: str, *_parameters: str) -> int:
        self._envelope = Envelope(address=self._address, helo=self._helo, sender=sender.strip("<>"))
        self._recipients: list[str] = []
        self._lines: list[bytes] = []
        self._fields: list[tuple[str, bytes]] = []
        return Milter.CONTINUE

    def envrcpt(self, recipient: str, *_parameters: str) -> int:
        self._recipients.append(recipient.strip("<>"))
        return Milter.CONTINUE

    @Milter.decode("bytes")
    def header(self, name: str, value: bytes) -> int:
        self._fields.append((name, value))
        self._lines.append(name.encode() + b":" + value.replace(b"\n", b"\r\n") + b"\r\n")
        return Milter.CONTINUE

    def eoh(self) -> int:
        self._lines.append(b"\r\n")
        return Milter.CONTINUE

    def body(self, chunk: bytes) -> int:
        self._lines.append(chunk)
        return Milter.CONTINUE

    def eom(self) -> int:
        try:
            found = judge(self._envelope, b"".join(self._lines))
        except Refused as refused:
            self._write({"code": refused.code, "status": refused.status, "text": refused.text})
            self.setreply(refused.code, refused.status, refused.text.replace("%", "%%"))
            return Milter.TEMPFAIL if refused.code.startswith("4") else Milter.REJECT
        self._remove_forged_results()
        told = results(self.name, self._envelope, found)
        # As the class has it, values come and go with the blank behind the colon.
        self.addheader("Authentication-Results", f" {told}", 0)
        self._write({"code": "250", **found})
        self._wait()
        return Milter.CONTINUE

    def _remove_forged_results(self) -> None:
        """Nobody else speaks for this host (RFC 8601 section 5)."""
        own = [value for name, value in self._fields if name.lower() == "authentication-results"]
        for number in range(len(own), 0, -1):
            if own[number - 1].strip().startswith(self.name.encode()):
                self.chgheader("Authentication-Results", number, "")

    def _wait(self) -> None:
        waits = [int(found[1]) for each in self._recipients if (found := _SLOW.match(each))]
        if waits:
            time.sleep(max(waits))

    def _write(self, found: dict[str, str]) -> None:
        line = {"time": time.time(), **asdict(self._envelope), "to": self._recipients, **found}
        with open(self.log, "a") as file:
            file.write(json.dumps(line) + "\n")


def main() -> None:
    socket, Receiver.name, Receiver.log = sys.argv[1:]
    open(Receiver.log, "a").close()
    Milter.factory = Receiver
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS)
    Milter.runmilter("receiver", socket, TIMEOUT)


if __name__ == "__main__":
    main()
