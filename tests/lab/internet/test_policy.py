"""The evaluator of policies, without any server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.internet.conditions import PolicyError
from lab.internet.policy import Request, Verdict, decide, decide_for_key, evaluate

ROLE = "arn:aws:iam::123456789012:role/relay"
SESSION = "arn:aws:sts::123456789012:assumed-role/relay/i-0a"
OBJECT = "arn:aws:s3:::config/relay/main.cf"


def request(**changed: Any) -> Request:
    given: dict[str, Any] = {
        "role_arn": ROLE,
        "session_arn": SESSION,
        "account": "123456789012",
        "action": "s3:GetObject",
        "resource": OBJECT,
        "context": {
            "aws:securetransport": ["true"],
            "aws:principalarn": [ROLE],
            "s3:prefix": [],
            "s3:tlsversion": ["1.3"],
            "aws:principaltag/folder": ["relay"],
            "aws:principaltag/any": ["*"],
        },
    }
    return Request(**{**given, **changed})


def document(**changed: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT, **changed}
    kept = {name: value for name, value in statement.items() if value is not None}
    return {"Version": "2012-10-17", "Statement": [kept]}


MATCHES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"Action": "S3:getobject"}, True),
    ({"Action": "s3:Get*"}, True),
    ({"Action": ["s3:PutObject", "s3:?etObject"]}, True),
    ({"Action": "s3:Put*"}, False),
    ({"Action": None, "NotAction": "s3:Put*"}, True),
    ({"Action": None, "NotAction": "s3:*"}, False),
    ({"Resource": "*"}, True),
    ({"Resource": "arn:aws:s3:::config/*"}, True),
    ({"Resource": "arn:aws:s3:::config/RELAY/*"}, False),
    ({"Resource": "arn:aws:s3:::config"}, False),
    ({"Resource": "arn:aws:s3:::config/relay/main?cf"}, True),
    ({"Resource": "arn:aws:s3:::config/relay.main.cf"}, False),
    ({"Resource": "arn:aws:s3:::config/${aws:PrincipalTag/folder}/*"}, True),
    ({"Resource": "arn:aws:s3:::${aws:principaltag/Folder}/relay/*"}, False),
    ({"Resource": "arn:aws:s3:::config/${aws:PrincipalTag/folder}"}, False),
    # A tag that the role has not, and one whose wildcard is none.
    ({"Resource": "arn:aws:s3:::config/${aws:PrincipalTag/other}/*"}, False),
    ({"Resource": "arn:aws:s3:::config/${aws:PrincipalTag/any}/main.cf"}, False),
    ({"Resource": None, "NotResource": "arn:aws:s3:::config/hub/*"}, True),
    ({"Resource": None, "NotResource": "arn:aws:s3:::config/*"}, False),
]
CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"Bool": {"aws:SecureTransport": "true"}}, True),
    ({"Bool": {"AWS:securetransport": True}}, True),
    ({"Bool": {"aws:SecureTransport": "false"}}, False),
    ({"StringEquals": {"aws:PrincipalArn": [ROLE, "other"]}}, True),
    ({"StringEquals": {"aws:PrincipalArn": ROLE.upper()}}, False),
    ({"StringEqualsIgnoreCase": {"aws:PrincipalArn": ROLE.upper()}}, True),
    ({"StringNotEquals": {"aws:PrincipalArn": ROLE}}, False),
    ({"StringNotEquals": {"aws:PrincipalArn": ["other", ROLE]}}, False),
    ({"StringLike": {"aws:PrincipalArn": "arn:*:role/rel?y"}}, True),
    ({"StringNotLike": {"aws:PrincipalArn": "arn:*"}}, False),
    ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}, True),
    ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam:*:role/*:*"}}, False),
    ({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/hub"}}, True),
    ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, False),
    ({"NumericLessThan": {"s3:TlsVersion": 1.4}}, True),
    # s3:prefix is absent from the request.
    ({"StringEquals": {"s3:prefix": "relay/"}}, False),
    ({"StringNotEquals": {"s3:prefix": "relay/"}}, True),
    ({"StringEqualsIfExists": {"s3:prefix": "relay/"}}, True),
    ({"Null": {"s3:prefix": "true"}}, True),
    ({"Null": {"s3:prefix": "false"}}, False),
    ({"Null": {"aws:PrincipalArn": "false"}}, True),
    ({"ForAllValues:StringEquals": {"s3:prefix": "relay/"}}, True),
    ({"ForAnyValue:StringEquals": {"s3:prefix": "relay/"}}, False),
    ({"ForAllValues:StringLike": {"aws:PrincipalArn": "arn:*"}}, True),
    ({"ForAnyValue:StringLike": {"aws:PrincipalArn": ["x", "arn:*"]}}, True),
    # All operators and all keys must hold.
    (
        {"Bool": {"aws:SecureTransport": "true"}, "StringEquals": {"aws:PrincipalArn": "other"}},
        False,
    ),
]
PRINCIPALS: list[tuple[Any, Verdict, Verdict]] = [
    # (principal, verdict of an allow, verdict of a deny)
    ("*", "allow", "explicit deny"),
    ({"AWS": "*"}, "allow", "explicit deny"),
    ({"AWS": ROLE}, "allow", "explicit deny"),
    ({"AWS": ["arn:aws:iam::123456789012:role/hub", SESSION]}, "allow", "explicit deny"),
    ({"AWS": "arn:aws:iam::123456789012:role/hub"}, "implicit deny", "implicit deny"),
    ({"AWS": "arn:aws:iam::123456789012:root"}, "implicit deny", "explicit deny"),
    ({"AWS": "123456789012"}, "implicit deny", "explicit deny"),
    ({"Service": "ec2.amazonaws.com"}, "implicit deny", "implicit deny"),
]
UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"Condition": {"StringEqual": {"aws:PrincipalArn": "x"}}}, "operator 'StringEqual'"),
    ({"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}}, "key 'aws:SourceVpce'"),
    ({"Condition": {"ForSome:StringEquals": {"s3:prefix": "x"}}}, "qualifier 'ForSome'"),
    ({"Condition": {"StringLike": {"aws:PrincipalArn": "${aws:username}"}}}, "variables"),
    ({"Condition": {"ArnLike": {"aws:PrincipalArn": "role"}}}, "no ARN"),
    ({"Condition": {"NumericLessThan": {"s3:TlsVersion": "new"}}}, "no numbers"),
    ({"Condition": {"Null": {"s3:prefix": "maybe"}}}, "neither true nor false"),
    ({"Resource": "arn:aws:s3:::config/${aws:username}"}, "variables"),
    ({"Resource": None, "NotResource": "x/${aws:PrincipalTag/folder}"}, "variables"),
    ({"Resource": 7}, "neither a string"),
    ({"Resource": None}, "either Resource or NotResource"),
    ({"NotAction": "s3:*"}, "either Action or NotAction"),
    ({"Effect": "allow"}, "not Allow or Deny"),
    ({"NotPrincipal": "*"}, "NotPrincipal"),
    ({"Principal": "*"}, "not allowed in an identity policy"),
]


@pytest.mark.parametrize(("changed", "matches"), MATCHES)
def test_actions_and_resources(changed: dict[str, Any], matches: bool) -> None:
    verdict = evaluate(document(**changed), request(), of_resource=False)
    assert verdict == ("allow" if matches else "implicit deny")


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    policy = document(Condition=condition)
    verdict = evaluate(policy, request(), of_resource=False)
    assert verdict == ("allow" if holds else "implicit deny")


@pytest.mark.parametrize(("principal", "allowing", "denying"), PRINCIPALS)
def test_principals(principal: Any, allowing: Verdict, denying: Verdict) -> None:
    for effect, verdict in (("Allow", allowing), ("Deny", denying)):
        policy = document(Principal=principal, Effect=effect)
        assert evaluate(policy, request(), of_resource=True) == verdict


@pytest.mark.parametrize(("changed", "said"), UNKNOWN)
def test_what_is_not_known_is_an_error(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        evaluate(document(**changed), request(), of_resource=False)


def test_what_is_not_known_does_not_hide_behind_what_does_not_match() -> None:
    policy = document(Action="s3:PutObject", Condition={"Strange": {"s3:prefix": "x"}})
    with pytest.raises(PolicyError, match="Strange"):
        evaluate(policy, request(), of_resource=False)


def test_a_resource_policy_needs_a_principal() -> None:
    with pytest.raises(PolicyError, match="required in a resource policy"):
        evaluate(document(), request(), of_resource=True)


def test_other_versions_and_shapes_are_refused() -> None:
    with pytest.raises(PolicyError, match="2010-01-01"):
        evaluate({**document(), "Version": "2010-01-01"}, request(), of_resource=False)
    with pytest.raises(PolicyError, match="list of statements"):
        evaluate({"Version": "2012-10-17"}, request(), of_resource=False)


def test_one_statement_needs_no_list() -> None:
    (statement,) = document()["Statement"]
    policy = {"Version": "2012-10-17", "Statement": statement}
    assert evaluate(policy, request(), of_resource=False) == "allow"


def test_nothing_allows_without_a_policy() -> None:
    assert decide(request(), identity=[], resource=None) == "implicit deny"


def test_either_kind_of_policy_allows() -> None:
    assert decide(request(), identity=[document()], resource=None) == "allow"
    assert decide(request(), identity=[], resource=document(Principal="*")) == "allow"


DELEGATED = document(Principal={"AWS": "arn:aws:iam::123456789012:root"})
"""A key policy that has the account's own policies decide."""


@pytest.mark.parametrize(
    ("boundary", "verdict"),
    [
        (document(), "allow"),
        (document(Resource="arn:aws:s3:::other"), "implicit deny"),
        (document(Effect="Deny"), "explicit deny"),
    ],
)
def test_a_boundary_limits_the_use_of_a_key(boundary: dict[str, Any], verdict: str) -> None:
    of_role = document(Principal="*")
    for identity, key in (([document()], DELEGATED), ([], of_role)):
        assert decide_for_key(request(), identity=identity, key=key) == "allow"
        found = decide_for_key(request(), identity=identity, key=key, boundary=boundary)
        assert found == verdict


EFFECTS = st.sampled_from(["Allow", "Deny"])
ACTIONS = st.sampled_from(["s3:GetObject", "s3:*", "s3:PutObject"])
RESOURCES = st.sampled_from(["*", OBJECT, "arn:aws:s3:::other"])
STATEMENTS = st.fixed_dictionaries({"Effect": EFFECTS, "Action": ACTIONS, "Resource": RESOURCES})


@given(
    statements=st.lists(STATEMENTS, max_size=6),
    place=st.integers(min_value=0),
    in_bucket=st.booleans(),
)
def test_an_explicit_deny_always_wins(
    statements: list[dict[str, Any]], place: int, in_bucket: bool
) -> None:
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": OBJECT}
    denying = [*statements]
    denying.insert(place % (len(statements) + 1), deny)
    own = {"Statement": denying if not in_bucket else statements}
    bucket = {
        "Statement": [{**one, "Principal": "*"} for one in (denying if in_bucket else statements)]
    }
    assert decide(request(), identity=[own], resource=bucket) == "explicit deny"


@given(statements=st.lists(STATEMENTS, max_size=6))
def test_only_an_allow_that_matches_allows(statements: list[dict[str, Any]]) -> None:
    def fits(effect: str) -> bool:
        return any(
            one["Effect"] == effect
            and one["Action"] != "s3:PutObject"
            and one["Resource"] != "arn:aws:s3:::other"
            for one in statements
        )

    verdict = decide(request(), identity=[{"Statement": statements}], resource=None)
    assert (verdict == "allow") == (fits("Allow") and not fits("Deny"))
