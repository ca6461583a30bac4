"""Who and what is on the lab's Internet: the one home of its names and addresses.

All addresses of its own are from the documentation ranges of RFC 5737, all names of its own from
RFC 2606 and RFC 6761, so that nothing here can be mistaken for a real host. What a machine finds by
what is built into its software, the root servers, is where it is on the real Internet.
"""

from __future__ import annotations

from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
ELASTIC_IPS = "198.51.100.0/24"
"""Elastic IPs are allocated from this range (TEST-NET-2)."""

VPN_ENDPOINTS = "192.0.2.128/25"
"""AWS's ends of VPN tunnels are allocated from this part of TEST-NET-1."""


@dataclass(frozen=True, kw_only=True)
class OutsideHost:
    """A host on the Internet; `namespace` is also its name in `gatepost lab exec`.

    `also` are more addresses of it; `signed` tells whether its `domain` is (DNSSEC), and so whether
    its certificate is pinned there (DANE), `mta_sts` whether the domain has such a policy, `strict`
    whether it judges what strangers send to it.
    """

    namespace: str
    host: str
    address: str
    also: tuple[str, ...] = ()
    domain: str | None = None
    signed: bool = False
    mta_sts: bool = False
    strict: bool = False


INTERNET = OutsideHost(
    namespace="internet",
    host="mx.example.net",
    address="192.0.2.10",
    domain="example.net",
    mta_sts=True,
)
INTERNET2 = OutsideHost(
    namespace="internet2",
    host="mx.example.com",
    address="203.0.113.10",
    domain="example.com",
    signed=True,
    strict=True,
)
ROOT_SERVERS = {
    "a.root-servers.net": "198.41.0.4",
    "b.root-servers.net": "170.247.170.2",
    "c.root-servers.net": "192.33.4.12",
    "d.root-servers.net": "199.7.91.13",
    "e.root-servers.net": "192.203.230.10",
    "f.root-servers.net": "192.5.5.241",
    "g.root-servers.net": "192.112.36.4",
    "h.root-servers.net": "198.97.190.53",
    "i.root-servers.net": "192.36.148.17",
    "j.root-servers.net": "192.58.128.30",
    "k.root-servers.net": "193.0.14.129",
    "l.root-servers.net": "199.7.83.42",
    "m.root-servers.net": "202.12.27.33",
}
"""Where every resolver looks for the root (IANA's root hints, Debian package dns-root-data)."""
NAMES = OutsideHost(
    namespace="names",
    host="names.test",
    address="192.0.2.53",
    also=tuple(ROOT_SERVERS.values()),
)
"""Authoritative DNS: the root, every public hosted zone, the outside hosts' and reverse zones."""
MIRROR = OutsideHost(namespace="mirror", host="mirror.test", address="192.0.2.80")
"""Serves Debian packages over HTTP under the names found in the machines' package sources."""
S3_PREFIXES = ("203.0.113.128/25",)
"""What the emulator's prefix list of S3 holds, in place of Amazon's own addresses."""
CLOUD = OutsideHost(namespace="cloud", host="cloud.test", address="203.0.113.129")
"""S3's public endpoint over TLS; the address lies within S3_PREFIXES."""
API = OutsideHost(namespace="api", host="api.test", address="203.0.113.80")
"""AWS's other public API endpoints over TLS: no gateway endpoint leads to those."""
ACME = OutsideHost(namespace="acme", host="acme-v02.api.letsencrypt.org", address="203.0.113.44")
"""A certificate authority that issues to whoever answers for a name (ACME, RFC 8555)."""

SMARTHOST = OutsideHost(
    namespace="smarthost", host="a1-1.smtp-out.amazonses.com", address="203.0.113.25"
)
"""Takes mail of those who log in, at email-smtp.<region>.amazonaws.com, and sends it on by MX."""
WELL_KNOWN = tuple(
    OutsideHost(namespace=f"known{number}", host=host, address=f"192.0.2.{120 + number}")
    for number, host in enumerate(
        (
            "gmail-smtp-in.l.google.com",
            "outlook-com.olc.protection.outlook.com",
            "mta5.am0.yahoodns.net",
        )
    )
)
"""Large receivers' hosts, by which a sender tells whether port 25 is open to the world."""

MAIL_HOSTS = (INTERNET, INTERNET2)
POSTFIX_HOSTS = (*MAIL_HOSTS, SMARTHOST)
MACHINES = (*POSTFIX_HOSTS, NAMES, ACME)
"""Those with a root and processes of their own."""
HOSTS = (*MACHINES, MIRROR, CLOUD, API, *WELL_KNOWN)
"""Of the others only the network is there: servers outside of it answer at their addresses."""

PACKAGES = (
    "bind9-dnsutils",
    "ca-certificates",
    "iproute2",
    "knot",
    "knot-dnssecutils",
    "libnet-dns-perl",
    "libnet-ssleay-perl",
    "libsasl2-modules",
    "netcat-openbsd",
    "nmap",
    "openssl",
    "pebble",
    "postfix",
    "postfix-mta-sts-resolver",
    "procps",
    "python3",
    "python3-authheaders",
    "python3-dkim",
    "python3-dnspython",
    "python3-milter",
    "python3-spf",
    "sasl2-bin",
    "swaks",
    "unbound",
)
"""What the outside hosts and the VPCs' resolvers run from; one Debian 13 layer serves them all."""
