"""What a host needs that meets the Internet: its own resolver, certificates, verified sending."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from model import certificates, ports
from model.certificates import Certificates
from model.mail import Postfix
from userdata.files import entry, templates
from userdata.inside import IDENTITY
from userdata.software import UNITS

IN_USE = "/var/lib/gatepost-tls"
"""Where the relay's certificate program puts a PEM file for each lineage, key first."""
SERVED = "/var/lib/gatepost-mta-sts/mta-sts.txt"
"""The MTA-STS policy as nginx serves it."""
TLS_POLICY = "127.0.0.1:8462"
"""Where Postfix asks how to verify a receiver; the port beside 8461, which Debian's
postfix-mta-sts-resolver has, is nobody's (services(5))."""

RESOLVER = ("unbound",)
SENDER = ("postfix-mta-sts-resolver", "python3-dnspython")
FACE = ("certbot", "nginx-light", "python3-certbot-dns-route53")


def packages(postfix: Postfix) -> tuple[str, ...]:
    """Debian packages of this host beside those that every host has."""
    return (
        *(RESOLVER if postfix.resolves else ()),
        *(SENDER if postfix.verifies else ()),
        *(FACE if postfix.role == "relay" else ()),
    )


def chain_files(postfix: Postfix) -> tuple[str, ...]:
    """The files of the key and certificate that Postfix shows at port 25."""
    return (f"{IN_USE}/{certificates.HOST}.pem" if postfix.role == "relay" else IDENTITY,)


def files(
    postfix: Postfix, issued: Certificates | None, *, bucket: str, region: str
) -> tuple[dict[str, Any], ...]:
    """Entries of write_files; without certificates, before delegation, a relay has none to ask."""
    found = []
    if postfix.verifies:
        found.append(entry(f"{UNITS}/gatepost-tls-policy.socket", _socket()))
    if issued:
        policy = {"bucket": bucket, "region": region, "key": certificates.POLICY_KEY}
        policy["host"] = issued.host
        found += [
            entry("/etc/gatepost/certificates.json", json.dumps(asdict(issued), indent=1) + "\n"),
            entry("/etc/gatepost/mta-sts.json", json.dumps(policy, indent=1) + "\n"),
            entry("/etc/nginx/nginx.conf", nginx_conf(issued), late=True),
        ]
    return tuple(found)


def nginx_conf(issued: Certificates) -> str:
    """nginx's whole configuration: the MTA-STS policy of every domain, and nothing else."""
    policies = {
        lineage: [name for name in names if name != issued.host]
        for lineage, names in issued.lineages.items()
        if lineage != certificates.HOST
    }
    return (
        templates()
        .get_template("nginx.conf.j2")
        .render(policies=policies, https=ports.HTTPS, in_use=IN_USE, served=SERVED)
    )


def masked(postfix: Postfix) -> tuple[str, ...]:
    """Units of Debian's that must not run here, though their packages do what they can."""
    return (
        # It would go on answering programs that ask by D-Bus or nss-resolve.
        *(("systemd-resolved.service",) if postfix.resolves else ()),
        *(("postfix-mta-sts-resolver.service",) if postfix.verifies else ()),
        # It would renew without the relays' lock.
        *(("certbot.timer",) if postfix.role == "relay" else ()),
    )


def enabled(postfix: Postfix) -> tuple[str, ...]:
    """Units that run from now on, at each boot."""
    return (
        *(("unbound.service",) if postfix.resolves else ()),
        *(("gatepost-tls-policy.socket",) if postfix.verifies else ()),
        *(("gatepost-mta-sts.service", "nginx.service") if postfix.role == "relay" else ()),
    )


def steps(postfix: Postfix) -> tuple[str, ...]:
    """What ends and begins now, when the units are as they are to be."""
    if postfix.resolves:
        found = [
            "systemctl restart unbound.service",
            "cp --remove-destination /etc/gatepost/resolv.conf /etc/resolv.conf",
        ]
    else:
        # systemd-resolved's file is its own user's; Postfix warns of that in its chroot's copy.
        found = [
            "if [ -L /etc/resolv.conf ]; then "
            'cp --remove-destination "$(readlink -f /etc/resolv.conf)" /etc/resolv.conf; fi'
        ]
    if postfix.role == "relay":
        # As it was installed it serves a page of its own; it starts once there is a certificate.
        found.append("systemctl stop nginx.service")
    # Of Debian's, unbound runs already, and nginx is not to yet.
    started = [unit for unit in enabled(postfix) if unit.startswith("gatepost-")]
    if started:
        found.append(f"systemctl start {' '.join(started)}")
    return tuple(found)


def _socket() -> str:
    return (
        "[Unit]\nDescription=Where Postfix asks how to verify a receiver\n\n"
        f"[Socket]\nListenStream={TLS_POLICY}\n\n[Install]\nWantedBy=sockets.target\n"
    )
