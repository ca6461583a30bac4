"""Who and what is on the lab's Internet: the one home of its names and addresses.

All addresses are from the documentation ranges of RFC 5737, all names from RFC 2606 and RFC 6761,
so that nothing here can be mistaken for a real host.
"""

from __future__ import annotations

from dataclasses import dataclass

ELASTIC_IPS = "198.51.100.0/24"
"""Elastic IPs are allocated from this range (TEST-NET-2)."""

VPN_ENDPOINTS = "192.0.2.128/25"
"""AWS's ends of VPN tunnels are allocated from this part of TEST-NET-1."""


@dataclass(frozen=True, kw_only=True)
class OutsideHost:
    """A host on the Internet; `namespace` is also its name in `gatepost lab exec`."""

    namespace: str
    host: str
    address: str
    domain: str | None = None


INTERNET = OutsideHost(
    namespace="internet", host="mx.example.net", address="192.0.2.10", domain="example.net"
)
INTERNET2 = OutsideHost(
    namespace="internet2", host="mx.example.com", address="203.0.113.10", domain="example.com"
)
NAMES = OutsideHost(namespace="names", host="a.root-servers.test", address="192.0.2.53")
"""Authoritative DNS: the root, every public hosted zone, the outside hosts' and reverse zones."""
MIRROR = OutsideHost(namespace="mirror", host="mirror.test", address="192.0.2.80")
"""Serves Debian packages over HTTP under the names found in the machines' package sources."""
S3_PREFIXES = ("203.0.113.128/25",)
"""What the emulator's prefix list of S3 holds, in place of Amazon's own addresses."""
CLOUD = OutsideHost(namespace="cloud", host="cloud.test", address="203.0.113.129")
"""AWS's public API endpoints over TLS; the address lies within S3_PREFIXES."""

MAIL_HOSTS = (INTERNET, INTERNET2)
HOSTS = (INTERNET, INTERNET2, NAMES, MIRROR, CLOUD)

PACKAGES = (
    "bind9-dnsutils",
    "ca-certificates",
    "iproute2",
    "knot",
    "knot-dnssecutils",
    "libnet-dns-perl",
    "libnet-ssleay-perl",
    "netcat-openbsd",
    "nmap",
    "openssl",
    "postfix",
    "procps",
    "python3",
    "swaks",
    "unbound",
)
"""What the outside hosts and the VPCs' resolvers run from; one Debian 13 layer serves them all."""
