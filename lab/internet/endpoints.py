"""AWS's endpoints that the lab serves (AWS General Reference, "Service endpoints")."""

from __future__ import annotations

from lab.internet.plan import API, CLOUD, SMARTHOST


def s3_names(region: str) -> tuple[str, ...]:
    """S3's, with a bucket's own names below it (S3 User Guide, "Virtual hosting of buckets")."""
    return (f"s3.{region}.amazonaws.com", f"*.s3.{region}.amazonaws.com")


def sts_names(region: str) -> tuple[str, ...]:
    """STS's in the Region."""
    return (f"sts.{region}.amazonaws.com",)


def ssm_names(region: str) -> tuple[str, ...]:
    """Systems Manager's in the Region."""
    return (f"ssm.{region}.amazonaws.com",)


ROUTE53_NAMES = ("route53.amazonaws.com",)
"""Route 53's, a global service."""


def smtp_name(region: str) -> str:
    """SES's SMTP interface in the Region."""
    return f"email-smtp.{region}.amazonaws.com"


def endpoint_addresses(region: str) -> dict[str, str]:
    """The address of each endpoint's name: only S3's lie within the prefix list of S3."""
    addresses = dict.fromkeys(s3_names(region), CLOUD.address)
    for names in (sts_names(region), ssm_names(region), ROUTE53_NAMES):
        addresses |= dict.fromkeys(names, API.address)
    addresses[smtp_name(region)] = SMARTHOST.address
    return addresses
