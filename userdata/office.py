"""What the administrator of an office that is not on AWS is given: files for its two machines."""

from __future__ import annotations

from collections.abc import Sequence

from model import directory, mail
from model.contract import Contract
from model.people import People
from model.settings import Office
from userdata import inside, render
from userdata.machine.gatepost_directory import peers
from userdata.machine.gatepost_directory.objects import Config, parse
from userdata.machine.gatepost_directory.tables import derive


def files(
    office: Office,
    terms: Contract,
    people: People,
    *,
    hub_key: bytes,
    connection: str,
    tunnels: Sequence[str],
) -> dict[str, str]:
    """The files by their path: `mail/` for its mail server, `vpn/` for its gateway, README.md.

    `hub_key` is what the hub has published of its key (`directory.identity_key`). `connection` is
    the VPN's id, `tunnels` are the public addresses of AWS's ends; there is no key in any file.
    Raises Refused where the hub would refuse these people, or a host the hub's key.
    """
    own, hub = str(office.address), terms.hub_address
    postfix = mail.branch(office.host, own, terms.every_domain, hub, terms.hub)
    sources = _tables(office, terms, people, postfix, hub_key)
    known = {
        "office": office,
        "hub": hub,
        "environment": terms.network,
        "connection": connection,
        "tunnels": tunnels,
        "gateway": office.gateway,
        "users": f"{len(sources['mailboxes'].splitlines())} mailboxes",
    }
    sysusers, tmpfiles = render.mailbox_settings()
    return {
        "README.md": render.text("office.md.j2", **known),
        "mail/install.sh": render.text(
            "office-install.sh.j2",
            tables=render.TABLES,
            identity=inside.IDENTITY,
            sysusers=render.SYSUSERS,
            tmpfiles=render.TMPFILES,
        ),
        **{f"mail/postfix/{name}": file for name, file in render.postfix_files(postfix).items()},
        "mail/gatepost.sysusers": sysusers,
        "mail/gatepost.tmpfiles": tmpfiles,
        **{f"mail/tables/{name}": source for name, source in sources.items()},
        "vpn/swanctl.conf": render.text("swanctl.conf.j2", **known),
    }


def _tables(
    office: Office, terms: Contract, people: People, postfix: mail.Postfix, hub_key: bytes
) -> dict[str, str]:
    """The tables of its server as a branch's host would derive them, as postmap(1) reads them."""
    owner = directory.branch_owner(office.name)
    config = Config(
        role="branch",
        bucket=terms.directory,
        region=terms.region,
        owner=owner,
        domains=list(terms.every_domain),
        branches=terms.branches,
        hub=terms.hub_address,
        seconds=0,
        **inside.known(postfix),
    )
    objects = directory.objects(owner, people, host=office.host, address=str(office.address))
    parts = {
        item.key: parse(item.key, item.text.encode(), config)
        for item in objects
        if item.key == config.required
    }
    tables, _ = derive(parts, config)
    known = peers.expected(parts, config)
    keys = {key: peers.parse(hub_key, peer) for key, peer in known.items()}
    tables |= peers.derive(known, keys, config)[0]
    return {
        name: "".join(f"{key} {value}\n" for key, value in sorted(table.items()))
        for name, table in tables.items()
    }
