"""A small, strict evaluator of IAM policies (IAM User Guide, "Policy evaluation logic").

Strict: whatever it does not know (an element, an operator, a condition key, a policy variable) is a
PolicyError and never a permission. It decides for a role and a resource of one and the same
account.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lab.internet.conditions import PolicyError, holds, wildcard

Verdict = Literal["allow", "explicit deny", "implicit deny"]

_VERSIONS = ("2012-10-17", "2008-10-17")
PRINCIPAL_TAG = "aws:principaltag/"
"""How the keys of the caller's tags begin; a role without such a tag has no such key."""

_DOCUMENT_KEYS = {"Version", "Id", "Statement"}
_STATEMENT_KEYS = {
    "Sid",
    "Effect",
    "Principal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_PRINCIPALS_OF_OTHERS = {"Service", "Federated"}
"""Kinds of principal that no role can be."""
_TAG_VARIABLE = re.compile(r"\$\{aws:PrincipalTag/([^}]+)\}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request of an assumed role.

    `context` maps condition keys in lower case to their values; a key with no values is known to be
    absent from the request, a key not in it is one that a policy must not use here.
    """

    role_arn: str
    session_arn: str
    account: str
    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


def decide(
    request: Request,
    *,
    identity: Iterable[Mapping[str, Any]],
    resource: Mapping[str, Any] | None,
    boundary: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict of the role's policies and the resource's own policy together.

    An explicit deny in any of them wins; else an allow in any suffices, since role and resource are
    of one account; else the request is denied implicitly. What a permissions `boundary` does not
    allow too is denied (IAM User Guide, "Permissions boundaries for IAM entities").

    Raises:
        PolicyError: a policy holds something that is not known here.
    """
    verdicts = [evaluate(policy, request, of_resource=False) for policy in identity]
    if resource is not None:
        verdicts.append(evaluate(resource, request, of_resource=True))
    limit = _limit(boundary, request)
    if limit != "allow":
        verdicts = [limit, *(verdict for verdict in verdicts if verdict == "explicit deny")]
    for verdict in ("explicit deny", "allow"):
        if verdict in verdicts:
            return verdict
    return "implicit deny"


def decide_for_key(
    request: Request,
    *,
    identity: Iterable[Mapping[str, Any]],
    key: Mapping[str, Any],
    boundary: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict on the use of a KMS key of the account.

    Its key policy must allow the role itself, or else the account, whose own policies then count
    (KMS Developer Guide, "Default key policy": "Allows access to the AWS account"). The role's
    permissions `boundary` limits both, as for `decide`.

    Raises:
        PolicyError: a policy holds something that is not known here.
    """
    root = f"arn:aws:iam::{request.account}:root"
    of_account = replace(request, role_arn=root, session_arn=request.account)
    of_key = evaluate(key, request, of_resource=True)
    delegated = evaluate(key, of_account, of_resource=True) == "allow"
    verdicts = [evaluate(policy, request, of_resource=False) for policy in identity]
    limit = _limit(boundary, request)
    if "explicit deny" in (of_key, limit, *verdicts):
        return "explicit deny"
    if limit == "allow" and (of_key == "allow" or (delegated and "allow" in verdicts)):
        return "allow"
    return "implicit deny"


def _limit(boundary: Mapping[str, Any] | None, request: Request) -> Verdict:
    return "allow" if boundary is None else evaluate(boundary, request, of_resource=False)


def evaluate(policy: Mapping[str, Any], request: Request, *, of_resource: bool) -> Verdict:
    """The verdict of one policy document; `of_resource` tells which of both kinds it is.

    Raises:
        PolicyError: as for `decide`; every statement is checked, also one that does not match.
    """
    _check_keys(policy, _DOCUMENT_KEYS, "policy")
    if policy.get("Version", "2008-10-17") not in _VERSIONS:
        raise PolicyError(f"policy version {policy['Version']!r} is none of {_VERSIONS}")
    statements = policy.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list):
        raise PolicyError(f"a policy needs a list of statements, not {statements!r}")
    effects = {
        statement["Effect"]
        for statement in statements
        if _matches(_checked(statement, of_resource), request)
    }
    if "Deny" in effects:
        return "explicit deny"
    return "allow" if "Allow" in effects else "implicit deny"


def _checked(statement: Any, of_resource: bool) -> Mapping[str, Any]:
    if not isinstance(statement, Mapping):
        raise PolicyError(f"statement {statement!r} is no object")
    where = f"statement {statement.get('Sid', statement)!r}"
    _check_keys(statement, _STATEMENT_KEYS, where)
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"{where}: Effect is {statement.get('Effect')!r}, not Allow or Deny")
    for one, other in (("Action", "NotAction"), ("Resource", "NotResource")):
        if (one in statement) == (other in statement):
            raise PolicyError(f"{where}: needs either {one} or {other}")
    if ("Principal" in statement) != of_resource:
        raise PolicyError(
            f"{where}: Principal is {'required' if of_resource else 'not allowed'} in"
            f" {'a resource' if of_resource else 'an identity'} policy"
        )
    return statement


def _matches(statement: Mapping[str, Any], request: Request) -> bool:
    # All parts are evaluated before they are joined: what is unknown must not hide behind a part
    # that does not match.
    parts = [
        _action_matches(statement, request.action),
        _resource_matches(statement, request),
        "Principal" not in statement or _principal_matches(statement, request),
        holds(statement.get("Condition", {}), request.context),
    ]
    return all(parts)


def _action_matches(statement: Mapping[str, Any], action: str) -> bool:
    negated = "NotAction" in statement
    patterns = _strings(statement["NotAction" if negated else "Action"], "Action")
    matches = [re.fullmatch(wildcard(p), action, re.DOTALL | re.IGNORECASE) for p in patterns]
    return any(matches) != negated


def _resource_matches(statement: Mapping[str, Any], request: Request) -> bool:
    negated = "NotResource" in statement
    patterns = _strings(statement["NotResource" if negated else "Resource"], "Resource")
    if negated and any(_TAG_VARIABLE.search(pattern) for pattern in patterns):
        raise PolicyError(f"policy variables are not known here in NotResource: {patterns}")
    regexes = [_resource_pattern(pattern, request) for pattern in patterns]
    return any(re.fullmatch(r, request.resource, re.DOTALL) for r in regexes if r) != negated


def _resource_pattern(pattern: str, request: Request) -> str | None:
    """A resource's regular expression, or None where a tag that it names is not the caller's.

    What a tag holds is taken as it is, without wildcards (IAM User Guide, "Policy variables").
    """
    parts = _TAG_VARIABLE.split(pattern)
    names, texts = parts[1::2], parts[::2]
    values = [request.context.get(f"{PRINCIPAL_TAG}{name.lower()}") for name in names]
    regexes = [wildcard(text) for text in texts]
    if not all(values):
        return None
    known = [re.escape(value[0]) for value in values if value]
    return "".join(a + b for a, b in zip(regexes, [*known, ""], strict=True))


def _principal_matches(statement: Mapping[str, Any], request: Request) -> bool:
    principal = statement["Principal"]
    if principal == "*":
        return True
    if not isinstance(principal, Mapping):
        raise PolicyError(f'Principal {principal!r} is neither "*" nor an object')
    unknown = set(principal) - {"AWS"} - _PRINCIPALS_OF_OTHERS
    if unknown:
        raise PolicyError(f"Principal of kind {', '.join(sorted(unknown))} is not known here")
    names = _strings(principal.get("AWS", []), "Principal")
    mine = {"*", request.role_arn, request.session_arn}
    if statement["Effect"] == "Deny":
        # Naming the account allows it to decide by its own policies, and so grants nothing to a
        # role; but a deny holds for all in it (IAM User Guide, "AWS account principals").
        mine |= {request.account, f"arn:aws:iam::{request.account}:root"}
    return any(name in mine for name in names)


def _strings(value: Any, element: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise PolicyError(f"{element} {value!r} is neither a string nor a list of strings")
    return values


def _check_keys(found: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = set(found) - known
    if unknown:
        raise PolicyError(f"{where}: {', '.join(sorted(unknown))} is not known here")
