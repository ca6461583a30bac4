"""STS: only who somebody is; machines get their roles' credentials from the instance metadata."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from lab.internet.call import Call, Caller, NotKnown, Permission, Refusal


class Sts:
    """See `lab.internet.call.Service`."""

    def permissions(self, call: Call, caller: Caller) -> Sequence[Permission]:
        """GetCallerIdentity needs no permission (STS API reference); nothing else is served."""
        query = parse_qs(urlsplit(call.target).query)
        action = (query | parse_qs(call.body.decode("ascii", "replace"))).get("Action")
        if action != ["GetCallerIdentity"]:
            raise NotKnown(f"STS action {action}: only GetCallerIdentity is served")
        return ()

    def absence(self, call: Call, caller: Caller) -> Permission | None:
        """Nothing is hidden."""

    def accepted(self, call: Call) -> None:
        """Nothing follows."""

    def refusal(self, refusal: Refusal) -> tuple[int, str, bytes]:
        """As the query protocol has it (STS API reference, "Common errors")."""
        kind = "Sender" if refusal.status < 500 else "Receiver"
        return (
            refusal.status,
            "text/xml",
            (
                '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
                f"<Type>{kind}</Type><Code>{refusal.code}</Code>"
                f"<Message>{escape(refusal.message)}</Message></Error>"
                f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
            ).encode(),
        )
