"""Route 53's DNSSEC signing, which moto lacks: key-signing keys (KSKs) and signed zones.

Who refuses what, and with which code: the API reference of CreateKeySigningKey and its siblings,
and "Working with customer managed keys for DNSSEC" (Route 53 Developer Guide). Keys are real: KMS
signs with them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import dns.dnssec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dns.dnssecalgs.ecdsa import PublicECDSAP256SHA256
from dns.rdtypes.dnskeybase import Flag
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.kms.models import kms_backends
from moto.route53 import urls
from moto.route53.exceptions import Route53ClientError
from moto.route53.models import Route53Backend
from moto.route53.responses import Route53

SERVICE = "dnssec-route53.amazonaws.com"
NEEDED = {"kms:DescribeKey", "kms:GetPublicKey", "kms:Sign", "kms:CreateGrant"}
"""What the key's policy must allow the service."""
KEY_ARN = re.compile(r"arn:aws:kms:us-east-1:(\d{12}):key/([\w-]+)")
KEY_LIMIT = 2
"""KSKs that a zone may have (API reference, CreateKeySigningKey)."""
NAME = re.compile(r"[A-Za-z0-9_]{3,128}")
ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
PATHS = (
    "keysigningkey$",
    "keysigningkey/(?P<zone_id>[^/]+)/(?P<name>[^/]+)$",
    "keysigningkey/(?P<zone_id>[^/]+)/(?P<name>[^/]+)/activate$",
    "keysigningkey/(?P<zone_id>[^/]+)/(?P<name>[^/]+)/deactivate$",
    "hostedzone/(?P<zone_id>[^/]+)/enable-dnssec$",
    "hostedzone/(?P<zone_id>[^/]+)/disable-dnssec$",
)
"""Of the calls that moto does not route, beneath the API's version."""


@dataclass
class Dnssec:
    """What a hosted zone has of DNSSEC: the KeySigningKey objects of the API by name."""

    signing: bool
    keys: dict[str, dict[str, Any]]


def of(zone: Any) -> Dnssec:
    """A zone's DNSSEC state."""
    return zone.__dict__.setdefault("dnssec", Dnssec(signing=False, keys={}))


def create_key_signing_key(_moto: Any, self: Any) -> ActionResult:
    zone = _public_zone(self, self._get_param("HostedZoneId"))
    name, arn = self._get_param("Name"), self._get_param("KeyManagementServiceArn")
    state = of(zone)
    if NAME.fullmatch(name) is None:
        raise Route53ClientError(
            "InvalidKeySigningKeyName", f"{name!r} is not 3 to 128 letters, digits and underscores"
        )
    if name in state.keys:
        raise Route53ClientError("KeySigningKeyAlreadyExists", f"{zone.id} has {name} already")
    if len(state.keys) >= KEY_LIMIT:
        raise Route53ClientError("TooManyKeySigningKeys", f"{zone.id} has {KEY_LIMIT} keys already")
    if any(key["KmsArn"] == arn for key in state.keys.values()):
        raise Route53ClientError("InvalidArgument", f"{arn} is the key of another KSK of {zone.id}")
    key = {"Name": name, "KmsArn": arn, "Status": self._get_param("Status")}
    key |= _public_half(zone.name, _kms_key(arn)) | {"CreatedDate": utcnow()}
    state.keys[name] = key | {"LastModifiedDate": key["CreatedDate"]}
    location = f"https://route53.amazonaws.com/2013-04-01/keysigningkey{zone.id}/{name}"
    return ActionResult({**_change(), "KeySigningKey": state.keys[name], "Location": location})


def _public_half(zone: str, kms_key: Any) -> dict[str, Any]:
    public = PublicECDSAP256SHA256(load_der_public_key(kms_key.private_key.public_key()))
    dnskey = public.to_dnskey(flags=Flag.ZONE | Flag.SEP)
    ds = dns.dnssec.make_ds(zone, dnskey, "SHA256")
    words = dnskey.to_text(chunksize=0)
    return {
        "Flag": int(dnskey.flags),
        "SigningAlgorithmMnemonic": "ECDSAP256SHA256",
        "SigningAlgorithmType": int(dnskey.algorithm),
        "DigestAlgorithmMnemonic": "SHA-256",
        "DigestAlgorithmType": int(ds.digest_type),
        "KeyTag": ds.key_tag,
        "DigestValue": ds.digest.hex().upper(),
        "PublicKey": words.split()[-1],
        "DSRecord": f"{ds.key_tag} {int(ds.algorithm)} {int(ds.digest_type)} "
        f"{ds.digest.hex().upper()}",
        "DNSKEYRecord": words,
    }


def _kms_key(arn: str) -> Any:
    """The key if Route 53 can sign with it; else its one error for all that may be wrong."""
    match = KEY_ARN.fullmatch(arn)
    key = match and kms_backends[match[1]]["us-east-1"].keys.get(match[2])
    if not key:
        raise _bad_key(arn, "it is not a customer managed key of us-east-1")
    if (key.key_spec, key.key_usage) != ("ECC_NIST_P256", "SIGN_VERIFY"):
        raise _bad_key(arn, f"it is {key.key_spec} for {key.key_usage}")
    if key.key_state != "Enabled":
        raise _bad_key(arn, f"it is {key.key_state}")
    lacking = NEEDED - _granted(json.loads(key.policy or "{}"))
    if lacking:
        raise _bad_key(arn, f"its policy does not allow {SERVICE} {', '.join(sorted(lacking))}")
    return key


def _granted(policy: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for statement in policy.get("Statement", []):
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        services = [services] if isinstance(services, str) else services
        if statement["Effect"] == "Allow" and SERVICE in services:
            actions = statement["Action"]
            found |= {actions} if isinstance(actions, str) else set(actions)
    return found


def _bad_key(arn: str, reason: str) -> ServiceException:
    return Route53ClientError(
        "InvalidKMSArn",
        "The KeyManagementServiceArn that you specified isn't valid to use with DNSSEC signing: "
        f"{arn}: {reason}",
    )


def activate_key_signing_key(_moto: Any, self: Any) -> ActionResult:
    _zone, key = _zone_and_key(self)
    _kms_key(key["KmsArn"])
    return _set_status(key, ACTIVE)


def deactivate_key_signing_key(_moto: Any, self: Any) -> ActionResult:
    zone, key = _zone_and_key(self)
    state = of(zone)
    others = [k for k in state.keys.values() if k is not key and k["Status"] == ACTIVE]
    if state.signing and key["Status"] == ACTIVE and not others:
        raise Route53ClientError(
            "KeySigningKeyInUse",
            f"{key['Name']} is the only active key of {zone.id}, which is signed",
        )
    return _set_status(key, INACTIVE)


def delete_key_signing_key(_moto: Any, self: Any) -> ActionResult:
    zone, key = _zone_and_key(self)
    if key["Status"] != INACTIVE:
        raise Route53ClientError(
            "InvalidKeySigningKeyStatus",
            f"Key Signing Key with name {key['Name']} cannot be deleted because current status is "
            "not INACTIVE.",
        )
    del of(zone).keys[key["Name"]]
    return ActionResult(_change())


def enable_hosted_zone_dnssec(_moto: Any, self: Any) -> ActionResult:
    zone = _public_zone(self, self._get_param("HostedZoneId"))
    if not any(key["Status"] == ACTIVE for key in of(zone).keys.values()):
        raise Route53ClientError(
            "KeySigningKeyWithActiveStatusNotFound", f"{zone.id} has no active key-signing key"
        )
    of(zone).signing = True
    return ActionResult(_change())


def disable_hosted_zone_dnssec(_moto: Any, self: Any) -> ActionResult:
    zone = _public_zone(self, self._get_param("HostedZoneId"))
    if not of(zone).signing:
        raise Route53ClientError("DNSSECNotFound", f"{zone.id} is not signed")
    of(zone).signing = False
    return ActionResult(_change())


def get_dnssec(_moto: Any, self: Any) -> ActionResult:
    state = of(_public_zone(self, self._get_param("HostedZoneId")))
    status = "SIGNING" if state.signing else "NOT_SIGNING"
    return ActionResult(
        {"Status": {"ServeSignature": status}, "KeySigningKeys": list(state.keys.values())}
    )


def delete_hosted_zone(moto: Any, self: Any, id_: str) -> None:
    if of(self.get_hosted_zone(id_)).keys:
        raise Route53ClientError(
            "HostedZoneNotEmpty",
            "The specified hosted zone contains DNSSEC Key Signing Keys and so cannot be deleted.",
        )
    moto(self, id_)


def _public_zone(response: Any, identifier: str) -> Any:
    zone = response.backend.get_hosted_zone(identifier)
    if zone.private_zone:
        raise Route53ClientError("InvalidArgument", f"{zone.id} is private")
    return zone


def _zone_and_key(response: Any) -> tuple[Any, dict[str, Any]]:
    zone = _public_zone(response, response._get_param("HostedZoneId"))
    name = response._get_param("Name")
    if name not in of(zone).keys:
        raise Route53ClientError("NoSuchKeySigningKey", f"{zone.id} has no key {name}")
    return zone, of(zone).keys[name]


def _set_status(key: dict[str, Any], status: str) -> ActionResult:
    key |= {"Status": status, "LastModifiedDate": utcnow()}
    return ActionResult(_change())


def _change() -> dict[str, Any]:
    change = {"Id": "/change/C2682N5HXP0BZ4", "Status": "INSYNC", "SubmittedAt": utcnow()}
    return {"ChangeInfo": change}


def register_paths() -> None:
    """Let moto's server route the calls; before it makes its table of paths."""
    for path in PATHS:
        urls.url_paths[r"{0}/(?P<api_version>[\d_-]+)/" + path] = Route53.dispatch


CORRECTIONS = (
    (Route53, "create_key_signing_key", create_key_signing_key),
    (Route53, "activate_key_signing_key", activate_key_signing_key),
    (Route53, "deactivate_key_signing_key", deactivate_key_signing_key),
    (Route53, "delete_key_signing_key", delete_key_signing_key),
    (Route53, "enable_hosted_zone_dnssec", enable_hosted_zone_dnssec),
    (Route53, "disable_hosted_zone_dnssec", disable_hosted_zone_dnssec),
    (Route53, "get_dnssec", get_dnssec),
    (Route53Backend, "delete_hosted_zone", delete_hosted_zone),
)
