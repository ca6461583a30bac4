"""Every route of the seed page, each with a message whose way is read from its headers."""

from __future__ import annotations

from checks.mail import Hop, follow, only, send, way
from checks.suite import Check, Scene, expect
from model.dns import outbound_name
from model.outbound import DIRECT, RELAY, SMARTHOST


def checks(scene: Scene) -> list[Check]:
    """The routes; those of a branch only where one is up."""
    seen = seen_by_smarthost if scene.outbound == SMARTHOST else seen_outside
    common = [inbound, hub_local, outbound, seen]
    if not scene.branches:
        return common
    return [
        *common,
        inbound_to_branch,
        hub_to_branch,
        branch_local,
        branch_to_hub,
        branch_outbound,
        alias,
        equal_local_parts,
        *([other_branches] if len(scene.branches) > 1 else []),
    ]


def _out(scene: Scene) -> list[Hop]:
    """What the Internet sees of the way out: the exit alone, under its public name."""
    ways: dict[str, list[Hop]] = {
        RELAY: [scene.relay.name],
        DIRECT: [outbound_name(scene.domains[0])],
        SMARTHOST: [scene.domains[0], scene.environment["smarthost"]],
    }
    return ways[scene.outbound]


def inbound(scene: Scene) -> str:
    """Internet → relay → hub → mailbox"""
    sender = scene.outside[0]
    hops: list[Hop] = [sender.host, scene.relay_names, scene.hub.name]
    follow(scene, sender, f"a@{sender.domain}", f"taro@{scene.domains[0]}", hops)
    return way(hops)


def hub_local(scene: Scene) -> str:
    """hub → its own mailbox"""
    domain = scene.domains[0]
    follow(scene, scene.hub, f"taro@{domain}", f"hanako@{domain}", [scene.hub.name])
    return scene.hub.name


def outbound(scene: Scene) -> str:
    """hub → Internet, in the chosen mode"""
    receiver = scene.outside[1]
    hops: list[Hop] = [*_out(scene), receiver.host]
    follow(scene, scene.hub, f"taro@{scene.domains[0]}", f"b@{receiver.domain}", hops)
    return way(hops)


def seen_outside(scene: Scene) -> str:
    """the Internet sees the exit's address, its reverse name and an equal HELO"""
    receiver, domain = scene.outside[0], scene.domains[0]
    hops: list[Hop] = [*_out(scene), receiver.host]
    copy = follow(scene, scene.hub, f"taro@{domain}", f"c@{receiver.domain}", hops)
    [name] = _out(scene)
    address = scene.environment["nat"] if scene.outbound == DIRECT else scene.relay.public_ip
    seen = copy.message.get_all("Received", [])[0]
    wanted = f"from {name} ({name} [{address}])"
    expect(wanted in seen, f"{receiver.host} should see {wanted!r}, saw {seen!r}")
    return wanted


def seen_by_smarthost(scene: Scene) -> str:
    """the smarthost sees the NAT's address, TLS and a login"""
    receiver, domain = scene.outside[0], scene.domains[0]
    hops: list[Hop] = [*_out(scene), receiver.host]
    copy = follow(scene, scene.hub, f"taro@{domain}", f"c@{receiver.domain}", hops)
    seen = " ".join(copy.message.get_all("Received", [])[1].split())
    # ESMTPSA is ESMTP with STARTTLS and AUTH (RFC 3848).
    for wanted in (f"[{scene.environment['nat']}]", " with ESMTPSA "):
        expect(wanted in seen, f"the smarthost should see {wanted!r}, saw {seen!r}")
    return seen.partition(";")[0]


def inbound_to_branch(scene: Scene) -> str:
    """Internet → relay → hub → branch → mailbox"""
    assert scene.branch
    sender = scene.outside[1]
    hops: list[Hop] = [sender.host, scene.relay_names, scene.hub.name, scene.branch.name]
    follow(scene, sender, f"a@{sender.domain}", f"jiro@{scene.domains[0]}", hops)
    return way(hops)


def hub_to_branch(scene: Scene) -> str:
    """hub → branch"""
    assert scene.branch
    domain = scene.domains[0]
    hops: list[Hop] = [scene.hub.name, scene.branch.name]
    follow(scene, scene.hub, f"taro@{domain}", f"saburo@{domain}", hops)
    return way(hops)


def branch_local(scene: Scene) -> str:
    """a branch's local mail stays local"""
    assert scene.branch
    domain = scene.domains[0]
    hops: list[Hop] = [scene.branch.name]
    follow(scene, scene.branch, f"jiro@{domain}", f"saburo@{domain}", hops)
    return scene.branch.name


def branch_to_hub(scene: Scene) -> str:
    """branch → hub for people at the hub"""
    assert scene.branch
    domain = scene.domains[0]
    hops: list[Hop] = [scene.branch.name, scene.hub.name]
    follow(scene, scene.branch, f"jiro@{domain}", f"hanako@{domain}", hops)
    return way(hops)


def branch_outbound(scene: Scene) -> str:
    """branch → hub → Internet"""
    assert scene.branch
    receiver = scene.outside[0]
    hops: list[Hop] = [*_out(scene), receiver.host]
    follow(scene, scene.branch, f"jiro@{scene.domains[0]}", f"d@{receiver.domain}", hops)
    return way(hops)


def alias(scene: Scene) -> str:
    """the alias info reaches taro at the hub and jiro at the branch, once each"""
    sender, domain = scene.outside[0], scene.domains[0]
    members = {f"taro@{domain}", f"jiro@{domain}"}
    word = send(scene, sender.name, f"a@{sender.domain}", f"info@{domain}")
    only(scene, word, members)
    return " and ".join(sorted(members))


def equal_local_parts(scene: Scene) -> str:
    """equal local parts of two mail domains are two people"""
    assert scene.branch
    sender = scene.outside[0]
    first, second = scene.domains[:2]
    to_hub: list[Hop] = [sender.host, scene.relay_names, scene.hub.name]
    for address, hops in (
        (f"taro@{first}", to_hub),
        (f"taro@{second}", [*to_hub, scene.branch.name]),
        (f"jiro@{first}", [*to_hub, scene.branch.name]),
        (f"jiro@{second}", to_hub),
    ):
        follow(scene, sender, f"a@{sender.domain}", address, hops)
    return f"taro and jiro of {first} and of {second}: four mailboxes, one copy each"


def other_branches(scene: Scene) -> str:
    """every other branch hands over to the hub, and the hub to its people"""
    domain, count = scene.domains[0], 0
    for branch in scene.branches:
        if branch == scene.branch:
            continue
        follow(scene, branch, f"jiro@{domain}", f"hanako@{domain}", [branch.name, scene.hub.name])
        count += 1
        for person in scene.residents(branch)[:1]:
            follow(scene, scene.hub, f"taro@{domain}", person, [scene.hub.name, branch.name])
            count += 1
    return f"{count} messages, {len(scene.branches) - 1} more branches"
