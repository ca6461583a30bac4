"""Buckets, and one resource for each of their settings. Registry pages: aws/s3/bucket…"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, tag_list, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import POLICY, TAGS
from lab.provider.values import Values

HOSTED_ZONE = {"ap-northeast-1": "Z2M4EHUR26P7ZW", "us-east-1": "Z3AQBSTGFYJSTF"}
"""Hosted zone ids of S3 websites ("Amazon S3 endpoints", AWS General Reference)."""
BUCKET = Property(required=True, replaces=True)


def _create_bucket(aws: Aws, new: Values) -> str:
    # API reference, CreateBucket: us-east-1 must not be named.
    where = {} if aws.region == "us-east-1" else {"LocationConstraint": aws.region}
    more = {"CreateBucketConfiguration": where} if where else {}
    aws.s3.create_bucket(
        Bucket=new["bucket"], ObjectLockEnabledForBucket=new["objectLockEnabled"], **more
    )
    return new["bucket"]


def _tag_bucket(aws: Aws, identifier: str, new: Values) -> None:
    if new.get("tags"):
        aws.s3.put_bucket_tagging(Bucket=identifier, Tagging={"TagSet": tag_list(new["tags"])})
    else:
        aws.s3.delete_bucket_tagging(Bucket=identifier)


def _read_bucket(aws: Aws, identifier: str, _state: Values) -> Values | None:
    aws.s3.head_bucket(Bucket=identifier)
    return {
        "arn": f"arn:aws:s3:::{identifier}",
        "bucket": identifier,
        "bucketDomainName": f"{identifier}.s3.amazonaws.com",
        "bucketRegion": aws.region,
        "bucketRegionalDomainName": f"{identifier}.s3.{aws.region}.amazonaws.com",
        "hostedZoneId": HOSTED_ZONE.get(aws.region),
        "tags": _bucket_tags(aws, identifier),
    }


def _bucket_tags(aws: Aws, identifier: str) -> dict[str, str]:
    try:
        return tag_map(aws.s3.get_bucket_tagging(Bucket=identifier)["TagSet"])
    except aws.s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        return {}


def _delete_bucket(aws: Aws, identifier: str, state: Values) -> None:
    if state.get("forceDestroy"):
        _empty_bucket(aws, identifier)
    aws.s3.delete_bucket(Bucket=identifier)


def _empty_bucket(aws: Aws, identifier: str) -> None:
    for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=identifier):
        for entry in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            aws.s3.delete_object(Bucket=identifier, Key=entry["Key"], VersionId=entry["VersionId"])


BUCKET_TYPE = Resource(
    token="aws:s3/bucket:Bucket",
    named="bucket",
    inputs={
        "bucket": Property(computed=True, replaces=True, check=checks.bucket),
        "forceDestroy": Property(default=False),
        "objectLockEnabled": Property(default=False, replaces=True),
        "tags": TAGS,
    },
    outputs=(
        "arn",
        "bucketDomainName",
        "bucketRegion",
        "bucketRegionalDomainName",
        "hostedZoneId",
    ),
    create=_create_bucket,
    settle=_tag_bucket,
    read=_read_bucket,
    update=lambda aws, identifier, _old, new, _changed: _tag_bucket(aws, identifier, new),
    delete=_delete_bucket,
)


def _setting(
    token: str,
    inputs: dict[str, Property],
    put: Callable[[Aws, Values], Any],
    read: Callable[[Aws, str], Values],
    delete: Callable[[Aws, str], Any],
) -> Resource:
    """A setting that a bucket has once: creating and updating it are the same call."""

    def create(aws: Aws, new: Values) -> str:
        put(aws, new)
        return new["bucket"]

    return Resource(
        token=f"aws:s3/{token[0].lower()}{token[1:]}:{token}",
        inputs={"bucket": BUCKET, **inputs},
        create=create,
        read=lambda aws, identifier, _state: {"bucket": identifier, **read(aws, identifier)},
        update=lambda aws, _identifier, _old, new, _changed: put(aws, new),
        delete=lambda aws, identifier, _state: delete(aws, identifier),
    )


def _put_versioning(aws: Aws, new: Values) -> None:
    status = new["versioningConfiguration"]["status"]
    aws.s3.put_bucket_versioning(Bucket=new["bucket"], VersioningConfiguration={"Status": status})


def _read_versioning(aws: Aws, identifier: str) -> Values:
    status = aws.s3.get_bucket_versioning(Bucket=identifier).get("Status", "Disabled")
    return {"versioningConfiguration": {"status": status}}


def _suspend_versioning(aws: Aws, identifier: str) -> None:
    aws.s3.put_bucket_versioning(Bucket=identifier, VersioningConfiguration={"Status": "Suspended"})


VERSIONING = _setting(
    "BucketVersioning",
    {
        "versioningConfiguration": Property(
            required=True,
            fields={"status": Property(required=True, check=checks.one_of("Enabled", "Suspended"))},
        )
    },
    _put_versioning,
    _read_versioning,
    _suspend_versioning,
)

PUBLIC_ACCESS = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


def _put_public_access(aws: Aws, new: Values) -> None:
    block = {parameter: new.get(name, False) for name, parameter in PUBLIC_ACCESS.items()}
    aws.s3.put_public_access_block(Bucket=new["bucket"], PublicAccessBlockConfiguration=block)


def _read_public_access(aws: Aws, identifier: str) -> Values:
    found = aws.s3.get_public_access_block(Bucket=identifier)["PublicAccessBlockConfiguration"]
    return {name: found[parameter] for name, parameter in PUBLIC_ACCESS.items()}


PUBLIC_ACCESS_BLOCK = _setting(
    "BucketPublicAccessBlock",
    {name: Property(default=False) for name in PUBLIC_ACCESS},
    _put_public_access,
    _read_public_access,
    lambda aws, identifier: aws.s3.delete_public_access_block(Bucket=identifier),
)


def _pascal(value: Any) -> Any:
    """camelCase property names as the API's PascalCase, at every depth."""
    if isinstance(value, dict):
        return {_api_name(key): _pascal(item) for key, item in value.items()}
    return [_pascal(item) for item in value] if isinstance(value, list) else value


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {_property_name(key): _camel(item) for key, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value


API_NAMES = {
    "id": "ID",
    "kmsMasterKeyId": "KMSMasterKeyID",
    "sseAlgorithm": "SSEAlgorithm",
}
PROPERTY_NAMES = {api: name for name, api in API_NAMES.items()}


def _api_name(name: str) -> str:
    return API_NAMES.get(name, name[0].upper() + name[1:])


def _property_name(name: str) -> str:
    return PROPERTY_NAMES.get(name, name[0].lower() + name[1:])


def _put_encryption(aws: Aws, new: Values) -> None:
    aws.s3.put_bucket_encryption(
        Bucket=new["bucket"],
        ServerSideEncryptionConfiguration={"Rules": _pascal(new["rules"])},
    )


def _read_encryption(aws: Aws, identifier: str) -> Values:
    found = aws.s3.get_bucket_encryption(Bucket=identifier)
    return {"rules": _camel(found["ServerSideEncryptionConfiguration"]["Rules"])}


ENCRYPTION = _setting(
    "BucketServerSideEncryptionConfiguration",
    {
        "rules": Property(
            required=True,
            fields={
                "applyServerSideEncryptionByDefault": Property(
                    computed=True,
                    fields={
                        "kmsMasterKeyId": Property(computed=True),
                        "sseAlgorithm": Property(
                            required=True, check=checks.one_of("AES256", "aws:kms", "aws:kms:dsse")
                        ),
                    },
                ),
                "bucketKeyEnabled": Property(computed=True),
            },
        )
    },
    _put_encryption,
    _read_encryption,
    lambda aws, identifier: aws.s3.delete_bucket_encryption(Bucket=identifier),
)


def _put_ownership(aws: Aws, new: Values) -> None:
    aws.s3.put_bucket_ownership_controls(
        Bucket=new["bucket"], OwnershipControls={"Rules": [_pascal(new["rule"])]}
    )


def _read_ownership(aws: Aws, identifier: str) -> Values:
    found = aws.s3.get_bucket_ownership_controls(Bucket=identifier)["OwnershipControls"]
    return {"rule": _camel(found["Rules"][0])}


OWNERSHIP = _setting(
    "BucketOwnershipControls",
    {
        "rule": Property(
            required=True,
            fields={
                "objectOwnership": Property(
                    required=True,
                    check=checks.one_of(
                        "BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"
                    ),
                )
            },
        )
    },
    _put_ownership,
    _read_ownership,
    lambda aws, identifier: aws.s3.delete_bucket_ownership_controls(Bucket=identifier),
)

POLICY_TYPE = _setting(
    "BucketPolicy",
    {"policy": POLICY},
    lambda aws, new: aws.s3.put_bucket_policy(Bucket=new["bucket"], Policy=new["policy"]),
    lambda aws, identifier: {"policy": aws.s3.get_bucket_policy(Bucket=identifier)["Policy"]},
    lambda aws, identifier: aws.s3.delete_bucket_policy(Bucket=identifier),
)


def _put_lifecycle(aws: Aws, new: Values) -> None:
    rules = [{"Filter": {}, **_pascal(rule)} for rule in new["rules"]]
    aws.s3.put_bucket_lifecycle_configuration(
        Bucket=new["bucket"], LifecycleConfiguration={"Rules": rules}
    )


def _read_lifecycle(aws: Aws, identifier: str) -> Values:
    found = aws.s3.get_bucket_lifecycle_configuration(Bucket=identifier)
    return {"rules": _camel(found["Rules"])}


DAYS = {"days": Property(), "date": Property(), "expiredObjectDeleteMarker": Property()}
LIFECYCLE = _setting(
    "BucketLifecycleConfiguration",
    {
        "rules": Property(
            required=True,
            fields={
                "abortIncompleteMultipartUpload": Property(
                    fields={"daysAfterInitiation": Property()}
                ),
                "expiration": Property(fields=DAYS),
                "filter": Property(computed=True, fields={"prefix": Property(computed=True)}),
                "id": Property(required=True),
                "noncurrentVersionExpiration": Property(
                    fields={
                        "newerNoncurrentVersions": Property(),
                        "noncurrentDays": Property(),
                    }
                ),
                "status": Property(required=True, check=checks.one_of("Enabled", "Disabled")),
            },
        )
    },
    _put_lifecycle,
    _read_lifecycle,
    lambda aws, identifier: aws.s3.delete_bucket_lifecycle(Bucket=identifier),
)

TYPES = (
    BUCKET_TYPE,
    VERSIONING,
    PUBLIC_ACCESS_BLOCK,
    ENCRYPTION,
    OWNERSHIP,
    POLICY_TYPE,
    LIFECYCLE,
)
