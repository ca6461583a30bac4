"""The directory's bucket, the objects within, and what a role may read of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import named
from model import principal
from model.directory import DirectoryObject
from userdata.software import Archive


def bucket_arn(bucket: str) -> str:
    """The ARN of a bucket."""
    return f"arn:aws:s3:::{bucket}"


def machine_policy(
    bucket: str, *, software: str, own: str, reads: Sequence[str], lists: Sequence[str] = ()
) -> str:
    """A policy that lets a machine read the objects `reads`, and list and read what is below
    `lists`.

    `software` is the key of the archive that it fetches at its first boot, `own` that of the one
    object that it writes: the fingerprint of its key.
    """
    readable = [*reads, *(f"{prefix}*" for prefix in lists), software]
    statements: list[dict[str, Any]] = [
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"{bucket_arn(bucket)}/{key}" for key in readable],
        },
        {
            "Sid": "Identity",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn(bucket)}/{own}",
        },
    ]
    if lists:
        statements.append(
            {
                "Sid": "List",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": bucket_arn(bucket),
                "Condition": {"StringEquals": {"s3:prefix": list(lists)}},
            }
        )
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def endpoint_policy(bucket: str) -> str:
    """A policy of a VPC's gateway endpoint for S3: what machines do with the directory passes.

    Who may do what of it is for the machines' own policies to say: a gateway endpoint's has no
    principal but everyone ("Gateway endpoints for Amazon S3", AWS PrivateLink).
    """
    everyone = {"Effect": "Allow", "Principal": "*"}
    objects = {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{bucket_arn(bucket)}/*"}
    listing = {"Action": "s3:ListBucket", "Resource": bucket_arn(bucket)}
    statements = [
        {"Sid": "Objects", **everyone, **objects},
        {"Sid": "List", **everyone, **listing},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _tls_only(bucket: str) -> str:
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn(bucket), f"{bucket_arn(bucket)}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def branch_boundary(name: str, bucket: str, opts: ResourceOptions) -> aws.iam.Policy:
    """The permissions boundary of the roles of branches' machines."""
    return aws.iam.Policy(
        f"{name}-branches",
        name=f"{name}-branches",
        description="The most that a branch's machine can be allowed",
        policy=json.dumps(principal.machine_boundary(bucket)),
        tags=named(f"{name}-branches"),
        opts=opts,
    )


KEPT_DAYS = 90
"""Days for which what an object held before can be had back: after that only the disk would grow,
by megabytes for each person of a large company who joins or leaves."""


class DirectoryBucket(ComponentResource):
    """A private, versioned, encrypted bucket that answers over TLS only."""

    def __init__(self, name: str, *, bucket: str, protect: bool, opts: ResourceOptions) -> None:
        super().__init__("gatepost:directory:DirectoryBucket", name, None, opts)
        child = ResourceOptions(parent=self)
        self.bucket = aws.s3.Bucket(
            name,
            bucket=bucket,
            # All it holds is written by the stacks: an environment that goes takes it along.
            force_destroy=True,
            tags=named(name),
            opts=ResourceOptions(parent=self, protect=protect),
        )
        aws.s3.BucketOwnershipControls(
            name,
            bucket=self.bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=child,
        )
        private = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=self.bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        self.versioning = aws.s3.BucketVersioning(
            name,
            bucket=self.bucket.id,
            versioning_configuration={"status": "Enabled"},
            opts=child,
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=self.bucket.id,
            rules=[
                {
                    "id": "old-versions",
                    "status": "Enabled",
                    "filter": {},
                    "noncurrent_version_expiration": {"noncurrent_days": KEPT_DAYS},
                    # What is left of an object that is gone, once its last version is.
                    "expiration": {"expired_object_delete_marker": True},
                }
            ],
            opts=ResourceOptions(parent=self, depends_on=[self.versioning]),
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=self.bucket.id,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=child,
        )
        aws.s3.BucketPolicy(
            name,
            bucket=self.bucket.id,
            policy=_tls_only(bucket),
            # Both write the bucket's policy status: one after the other, or S3 answers 409.
            opts=ResourceOptions(parent=self, depends_on=[private]),
        )
        self.register_outputs({"bucket": self.bucket.id})


class DirectoryPart(ComponentResource):
    """One owner's objects in the directory; a change of people is a changed object."""

    def __init__(
        self,
        name: str,
        *,
        bucket: Input[str],
        objects: tuple[DirectoryObject, ...],
        opts: ResourceOptions,
    ) -> None:
        super().__init__("gatepost:directory:DirectoryPart", name, None, opts)
        self.objects: list[pulumi.Resource] = [
            aws.s3.BucketObjectv2(
                f"{name}-{item.key.partition('/')[0]}",
                bucket=bucket,
                key=item.key,
                content=item.text,
                content_type="application/json",
                opts=ResourceOptions(parent=self),
            )
            for item in objects
        ]
        self.register_outputs({})


def software_object(
    name: str, archive: Archive, *, owner: str, bucket: Input[str], opts: ResourceOptions
) -> pulumi.Resource:
    """The software of one role's hosts, where they fetch it at their first boot."""
    return aws.s3.BucketObjectv2(
        f"{name}-software-{archive.role}",
        bucket=bucket,
        key=archive.key(owner),
        content_base64=base64.b64encode(archive.content).decode(),
        content_type="application/gzip",
        opts=opts,
    )
