"""The hosts of a running lab as a person names them, and how a command reaches them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.errors import LabError
from lab.holder.holder import Completed
from lab.internet import hosts as outside
from lab.internet import plan
from lab.machines import boot
from lab.network.probe import Target
from lab.session import Lab
from lab.world.model import Instance


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """One line of `gatepost lab status`; `boot_id` is another one after every boot."""

    name: str
    role: str
    instance: str
    private_ip: str
    public_ip: str
    boot_id: str
    running: bool


def statuses(lab: Lab) -> list[HostStatus]:
    """Every instance of the lab and every mail host of its Internet."""
    holder = lab.holder
    rows = []
    for item in _instances(lab):
        machine = boot.find(holder, item.id)
        rows.append(
            HostStatus(
                name=item.name,
                role=item.role,
                instance=item.id,
                private_ip=item.interface.private_ip,
                public_ip=item.interface.public_ip or "",
                boot_id=machine.boot_id if machine else "",
                running=machine is not None,
            )
        )
    rows += [
        HostStatus(
            name=host.namespace,
            role=f"Internet: {host.host}",
            instance="",
            private_ip="",
            public_ip=host.address,
            boot_id="",
            running=True,
        )
        for host in plan.MAIL_HOSTS
    ]
    return rows


def _instances(lab: Lab) -> list[Instance]:
    """By name: their ids, by which AWS's state is sorted, are another order in every lab."""
    return sorted(lab.world.instances, key=lambda item: item.name)


def find(lab: Lab, name: str) -> Instance | plan.OutsideHost:
    """A host by its mail host name, its short name, its instance id, or its name outside.

    Raises LabError, with the names there are.
    """
    instances = _instances(lab)
    for instance in instances:
        if name in (instance.name, instance.name.partition(".")[0], instance.id):
            return instance
    for host in plan.MACHINES:
        if name in (host.namespace, host.host):
            return host
    known = [item.name for item in instances] + [host.namespace for host in plan.MAIL_HOSTS]
    raise LabError(f"host {name}: not in this lab; there are {', '.join(known)}")


def argv(lab: Lab, name: str, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` on a host, with its streams and its exit status."""
    host = find(lab, name)
    if isinstance(host, plan.OutsideHost):
        return lab.holder.entering(outside.exec_argv(host.namespace, command))
    machine = boot.running(lab.holder, host.id)
    return lab.holder.entering(boot.entering(machine, command))


def run(lab: Lab, name: str, command: Sequence[str], *, stdin: str, limit: float) -> Completed:
    """Run a command on a host to its end; status and output are returned."""
    host = find(lab, name)
    if isinstance(host, plan.OutsideHost):
        inner = outside.exec_argv(host.namespace, command)
    else:
        inner = boot.entering(boot.running(lab.holder, host.id), command)
    return lab.holder.run(inner, stdin=stdin, check=False, limit=limit)


def probe(lab: Lab, name: str, targets: Iterable[Target]) -> dict[Target, str]:
    """Try ports from a host, or from a Connect endpoint by its id; see lab.network.probe."""
    wanted = list(targets)
    endpoints = {endpoint.id for endpoint in lab.world.connect_endpoints}
    if name in endpoints:
        namespace = name
    else:
        host = find(lab, name)
        namespace = host.namespace if isinstance(host, plan.OutsideHost) else host.id
    command = [sys.executable, "-m", "lab.network.probe"]
    done = lab.holder.run(command, netns=namespace, stdin=json.dumps(wanted))
    return dict(zip(wanted, json.loads(done.stdout), strict=True))
