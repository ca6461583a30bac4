"""The packet filters as nftables text: source checks, groups, ACLs and address translation.

Each text replaces the whole table in one transaction (nft(8), "nft -f" is atomic), so a packet
meets the old rules or the new ones; connections under way live in the kernel's connection
tracking and go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.faults import EVERY_HOST, Faults
from lab.network.acls import compile_acls
from lab.network.groups import compile_group
from lab.network.matches import chain_name
from lab.network.names import AWS_LINK, IGW_LINK, aws_address, peering_link, transit_link
from lab.network.ports import Port
from lab.network.routes import attachments_of, peerings_of
from lab.world.model import Direction, TransitAttachment, Vpc, World

_TABLE = "ip gatepost"
_DIRECTIONS: tuple[Direction, ...] = ("egress", "ingress")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""RFC 1918."""


def vpc_ruleset(world: World, vpc: Vpc, ports: Sequence[Port], faults: Faults) -> str:
    """Everything that a VPC's router filters and translates; `ports` are those of all VPCs."""
    own = [port for port in ports if port.vpc == vpc.id]
    links = [peering_link(peering) for peering in peerings_of(world, vpc.id)]
    attachments = attachments_of(world, vpc.id)
    links += [transit_link(attachment.id) for attachment in attachments]
    cut_off = [line for each in attachments for line in _cut_off(world, each, own)]
    chains = [
        *_group_chains(world, vpc, ports),
        *(_port_chain(port, direction) for port in own for direction in _DIRECTIONS),
        _source_check(vpc, own, links),
        _to_services(),
        _port_25(world, vpc, faults),
        _egress(own, links, cut_off),
        _ingress(vpc, own, links),
        *(_chain(name, *lines) for name, lines in compile_acls(world, vpc, own)),
    ]
    return _table([*_public_address_maps(vpc, own), *chains, *_translation(vpc, own)])


def nat_gateway_ruleset(port: Port) -> str:
    """A NAT gateway lets connections out under its own address and none in.

    To a packet of a connection that it has forgotten it answers with a reset (VPC User Guide,
    "NAT gateway basics").
    """
    return _table(
        [
            _chain(
                "forward",
                "type filter hook forward priority filter; policy drop;",
                "ct state established,related accept",
                "ct state invalid meta l4proto tcp reject with tcp reset",
                "ct state new accept",
            ),
            _chain(
                "input",
                "type filter hook input priority filter; policy drop;",
                "ct state established,related accept",
            ),
            _chain(
                "translate",
                "type nat hook postrouting priority srcnat; policy accept;",
                f"snat to {port.private_ip}",
            ),
        ]
    )


def _table(parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    # Named once before it is deleted, since deleting what does not exist is an error.
    return f"table {_TABLE}\ndelete table {_TABLE}\ntable {_TABLE} {{\n{body}\n}}\n"


def _chain(name: str, *lines: str) -> str:
    return "\n".join((f"  chain {name} {{", *(f"    {line}" for line in lines if line), "  }"))


def _quoted(names: Iterable[str]) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in names) + " }"


def _group_chains(world: World, vpc: Vpc, ports: Sequence[Port]) -> list[str]:
    return [
        _chain(chain_name(group.id, direction), *compile_group(world, group, direction, ports))
        for group in world.groups
        if group.vpc == vpc.id
        for direction in _DIRECTIONS
    ]


def _port_chain(port: Port, direction: Direction) -> str:
    """What a port may send (egress) or receive (ingress)."""
    foreign = f"ip daddr != {port.private_ip} drop"
    return _chain(
        chain_name(port.link, direction),
        foreign if port.checked and direction == "ingress" else "",
        *(f"jump {chain_name(group, direction)}" for group in port.groups),
        "" if port.filtered else "accept",
    )


def _source_check(vpc: Vpc, ports: Iterable[Port], links: Sequence[str]) -> str:
    """Before all else: a packet must come from where its source address lives.

    From the Internet only packets to an Elastic IP of this VPC come in, never to a private address.
    """
    checked = [f'"{port.link}" . {port.private_ip}' for port in ports if port.checked]
    unchecked = [port.link for port in ports if not port.checked]
    return _chain(
        "source-check",
        "type filter hook prerouting priority raw; policy drop;",
        'iifname "lo" accept',
        f'iifname "{AWS_LINK}" ip daddr {aws_address(vpc.id)} accept',
        f'iifname "{IGW_LINK}" ip daddr @elastic-ips accept',
        f"iifname {_quoted(links)} accept" if links else "",
        # A machine that asks for its address has none yet (RFC 2131, section 4.1).
        'iifname "v-*" ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
        f"iifname . ip saddr {{ {', '.join(checked)} }} accept" if checked else "",
        f"iifname {_quoted(unchecked)} accept" if unchecked else "",
    )


def _to_services() -> str:
    """The resolver, metadata, time and router addresses: for the VPC's own ports, unfiltered."""
    return _chain(
        "services",
        "type filter hook input priority filter; policy drop;",
        "ct state established,related accept",
        'iifname "lo" accept',
        'iifname "v-*" accept',
    )


def _port_25(world: World, vpc: Vpc, faults: Faults) -> str:
    """EC2's own block of mail to public addresses, where it is in force; before all groups.

    Nothing comes back, neither a reset nor an ICMP message, also not to a connection under way.
    """
    cut_off = [
        item.interface.private_ip
        for item in world.instances
        if item.interface.vpc == vpc.id and faults.blocks_port_25(item.name)
    ]
    sources = "" if EVERY_HOST in faults.port_25 else f"ip saddr {{ {', '.join(cut_off)} }} "
    public = f"ip daddr != {{ {', '.join(_PRIVATE)} }}"
    return _chain(
        "port-25",
        "type filter hook forward priority filter - 30; policy accept;",
        f'iifname "v-*" {sources}{public} tcp dport 25 drop' if cut_off else "",
    )


def _cut_off(world: World, attachment: TransitAttachment, ports: Iterable[Port]) -> Iterator[str]:
    """From a zone without a subnet of the attachment nothing reaches the Transit Gateway.

    Transit Gateway guide, "Amazon VPC attachments".
    """
    zones = {subnet.id: subnet.zone for subnet in world.subnets}
    attached = {zones[subnet] for subnet in attachment.subnets}
    others = [port.link for port in ports if zones[port.subnet_id] not in attached]
    if others:
        yield f'iifname {_quoted(others)} oifname "{transit_link(attachment.id)}" drop'


def _egress(ports: Iterable[Port], links: Iterable[str], cut_off: Iterable[str]) -> str:
    """What senders may send; what comes from elsewhere than a port was judged where it was sent."""
    verdicts = [
        *(f'"{port.link}" : jump {chain_name(port.link, "egress")}' for port in ports),
        *(f'"{link}" : accept' for link in (IGW_LINK, *links)),
    ]
    return _chain(
        "egress",
        "type filter hook forward priority filter - 10; policy drop;",
        *cut_off,
        "ct state established,related accept",
        "ct state invalid drop",
        f"iifname vmap {{ {', '.join(verdicts)} }}",
    )


def _ingress(vpc: Vpc, ports: Iterable[Port], links: Iterable[str]) -> str:
    """What receivers may receive; an Internet gateway passes on only what has an Elastic IP."""
    verdicts = [
        *(f'"{port.link}" : jump {chain_name(port.link, "ingress")}' for port in ports),
        *(f'"{link}" : accept' for link in (IGW_LINK, AWS_LINK, *links)),
    ]
    return _chain(
        "ingress",
        "type filter hook forward priority filter + 10; policy drop;",
        f'oifname "{IGW_LINK}" ip saddr != @public-ports drop',
        "ct state established,related accept",
        f"oifname vmap {{ {', '.join(verdicts)} }}",
    )


def _with_public_address(vpc: Vpc, ports: Iterable[Port]) -> list[tuple[str, str]]:
    """(private, public) of each port that an Internet gateway translates."""
    if vpc.internet_gateway is None:
        return []
    return [(port.private_ip, port.public_ip) for port in ports if port.public_ip is not None]


def _public_address_maps(vpc: Vpc, ports: Iterable[Port]) -> list[str]:
    pairs = _with_public_address(vpc, ports)
    return [
        _elements("public-ports", [private for private, _ in pairs]),
        _elements("elastic-ips", [public for _, public in pairs]),
    ]


def _elements(name: str, addresses: Sequence[str]) -> str:
    elements = f"elements = {{ {', '.join(addresses)} }};" if addresses else ""
    return f"  set {name} {{ type ipv4_addr; {elements} }}"


def _translation(vpc: Vpc, ports: Iterable[Port]) -> list[str]:
    """One to one at the Internet gateway; under one address on the way to AWS itself."""
    pairs = _with_public_address(vpc, ports)
    inward = ", ".join(f"{public} : {private}" for private, public in pairs)
    outward = ", ".join(f"{private} : {public}" for private, public in pairs)
    return [
        _chain(
            "translate-in",
            "type nat hook prerouting priority dstnat; policy accept;",
            f'iifname "{IGW_LINK}" dnat to ip daddr map {{ {inward} }}' if pairs else "",
        ),
        _chain(
            "translate-out",
            "type nat hook postrouting priority srcnat; policy accept;",
            f'oifname "{IGW_LINK}" snat to ip saddr map {{ {outward} }}' if pairs else "",
            f'oifname "{AWS_LINK}" snat to {aws_address(vpc.id)}',
        ),
    ]
