"""What a call to Route 53 asks for, in IAM's terms, and what follows from a change.

Actions and resources follow "Actions, resources, and condition keys for Amazon Route 53" (Service
Authorization Reference), the condition keys of a change "Using IAM policy conditions for
fine-grained access control" (Route 53 Developer Guide).
"""

from __future__ import annotations

import logging
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from lab.internet.call import Call, Caller, NotKnown, Permission, Refusal, signing_region
from lab.internet.knot import NameServerError
from lab.internet.zonefile import ZoneError
from lab.world.errors import WorldError

REGION = "us-east-1"
"""The one Region of Route 53, a global service (AWS General Reference, "Route 53 endpoints")."""
NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"

RECORD_NAMES = "route53:changeresourcerecordsetsnormalizedrecordnames"
RECORD_TYPES = "route53:changeresourcerecordsetsrecordtypes"
ACTIONS = "route53:changeresourcerecordsetsactions"
KEYS = (RECORD_NAMES, RECORD_TYPES, ACTIONS)
"""Condition keys of the service's own, in lower case."""

_ZONE = r"/2013-04-01/hostedzone/(?P<zone>[A-Z0-9]+)"
_ROUTES: Mapping[tuple[str, str], str] = {
    ("GET", r"/2013-04-01/hostedzone"): "ListHostedZones",
    ("GET", r"/2013-04-01/hostedzonesbyname"): "ListHostedZonesByName",
    ("GET", _ZONE): "GetHostedZone",
    ("GET", rf"{_ZONE}/rrset"): "ListResourceRecordSets",
    ("POST", rf"{_ZONE}/rrset/?"): "ChangeResourceRecordSets",
    ("GET", r"/2013-04-01/change/(?P<change>[A-Za-z0-9]+)"): "GetChange",
}
"""The calls that are served, by method and path."""
_CHANGE = "ChangeResourceRecordSets"
_PLAIN = re.compile(r"[a-z0-9_.-]")

log = logging.getLogger("route53")


class Route53:
    """See `lab.internet.call.Service`; `changed` is told the id of each zone that has changed."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def permissions(self, call: Call, caller: Caller) -> Sequence[Permission]:
        """The action on its zone or change; lists are of no resource."""
        if signing_region(call) != REGION:
            raise Refusal(
                403,
                "SignatureDoesNotMatch",
                f"Credential should be scoped to a valid region, not '{signing_region(call)}'.",
            )
        action, found = _route(call)
        resource = "*"
        if found.get("zone"):
            resource = f"arn:aws:route53:::hostedzone/{found['zone']}"
        elif found.get("change"):
            resource = f"arn:aws:route53:::change/{found['change']}"
        context = {"aws:requestedregion": [REGION]}
        if action == _CHANGE:
            context |= _change_keys(call.body)
        return (Permission(action=f"route53:{action}", resource=resource, context=context),)

    def absence(self, call: Call, caller: Caller) -> Permission | None:
        """Nothing is hidden."""

    def accepted(self, call: Call) -> None:
        """Has a zone's new records served before the caller learns that they are accepted.

        Raises:
            Refusal: the name server does not take them.
        """
        action, found = _route(call)
        if action != _CHANGE:
            return
        try:
            self._changed(found["zone"])
        except (ZoneError, NameServerError, WorldError, subprocess.SubprocessError) as error:
            log.exception("zone %s cannot be served", found["zone"])
            raise Refusal(500, "InternalError", f"the lab cannot serve it: {error}") from error

    def refusal(self, refusal: Refusal) -> tuple[int, str, bytes]:
        """As the REST XML protocol has it (Route 53 API reference, "Common errors")."""
        kind = "Sender" if refusal.status < 500 else "Receiver"
        return (
            refusal.status,
            "text/xml",
            (
                f'<?xml version="1.0"?>\n<ErrorResponse xmlns="{NAMESPACE}"><Error>'
                f"<Type>{kind}</Type><Code>{refusal.code}</Code>"
                f"<Message>{escape(refusal.message)}</Message></Error>"
                f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
            ).encode(),
        )


def _route(call: Call) -> tuple[str, Mapping[str, str]]:
    path = urlsplit(call.target).path
    for (method, pattern), action in _ROUTES.items():
        match = re.fullmatch(pattern, path)
        if match and method == call.method:
            return action, match.groupdict()
    raise NotKnown(f"Route 53 {call.method} {path}: served are {', '.join(_ROUTES.values())}")


def _change_keys(body: bytes) -> dict[str, list[str]]:
    changes = list(_changes(body))
    return {
        RECORD_NAMES: sorted({normalized(name) for _, name, _ in changes}),
        RECORD_TYPES: sorted({kind for _, _, kind in changes}),
        ACTIONS: sorted({action for action, _, _ in changes}),
    }


def _changes(body: bytes) -> Iterator[tuple[str, str, str]]:
    """Action, name and type of each change.

    Raises:
        Refusal: the body is no ChangeResourceRecordSetsRequest.
    """
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise Refusal(400, "InvalidInput", f"the body is no XML: {error}") from error
    names = {"r53": NAMESPACE}
    for change in root.iterfind("r53:ChangeBatch/r53:Changes/r53:Change", names):
        parts = [
            change.findtext(path, namespaces=names)
            for path in (
                "r53:Action",
                "r53:ResourceRecordSet/r53:Name",
                "r53:ResourceRecordSet/r53:Type",
            )
        ]
        action, name, kind = parts
        if not action or not name or not kind:
            raise Refusal(400, "InvalidInput", f"a change lacks action, name or type: {parts}")
        yield action, name, kind


def normalized(name: str) -> str:
    r"""A record's name as condition keys have it: in lower case, without a final dot, and with
    octal codes (`\052`) for all but letters, digits, `-`, `_` and the dots between labels."""
    plain = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), name.lower().rstrip("."))
    return "".join(c if _PLAIN.fullmatch(c) else f"\\{ord(c):03o}" for c in plain)
