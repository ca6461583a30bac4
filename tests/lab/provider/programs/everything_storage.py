"""Every resource type of S3 and SSM and a managed policy, for everything.py."""

import json
from typing import Any

import pulumi
import pulumi_aws as aws


def declare(word: str, second: bool, options: pulumi.ResourceOptions) -> aws.s3.BucketObjectv2:
    """The first or the second version of each; returns the object that is stored."""
    tags: dict[str, Any] = {"Name": word}
    aws.iam.Policy(
        "managed",
        name="managed",
        policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": f"s3:{word}", "Resource": "*"}],
            }
        ),
        tags=tags,
        opts=options,
    )
    bucket = aws.s3.Bucket("bucket", force_destroy=True, tags=tags, opts=options)
    aws.s3.BucketVersioning(
        "versioning",
        bucket=bucket.bucket,
        versioning_configuration={"status": "Suspended" if second else "Enabled"},
        opts=options,
    )
    aws.s3.BucketPublicAccessBlock(
        "block",
        bucket=bucket.bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=second,
        opts=options,
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        "encryption",
        bucket=bucket.bucket,
        rules=[
            {
                "apply_server_side_encryption_by_default": {
                    "sse_algorithm": "aws:kms" if second else "AES256"
                }
            }
        ],
        opts=options,
    )
    aws.s3.BucketOwnershipControls(
        "ownership",
        bucket=bucket.bucket,
        rule={"object_ownership": "BucketOwnerPreferred" if second else "BucketOwnerEnforced"},
        opts=options,
    )
    aws.s3.BucketPolicy(
        "tls",
        bucket=bucket.bucket,
        policy=bucket.arn.apply(
            lambda arn: json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": word,
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [arn, f"{arn}/*"],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                }
            )
        ),
        opts=options,
    )
    aws.s3.BucketLifecycleConfiguration(
        "lifecycle",
        bucket=bucket.bucket,
        rules=[
            {
                "id": "old",
                "status": "Enabled",
                "noncurrent_version_expiration": {"noncurrent_days": 60 if second else 30},
            }
        ],
        opts=options,
    )
    aws.ssm.Parameter(
        "plain", name="/mail/plain", type="String", insecure_value=word, tags=tags, opts=options
    )
    aws.ssm.Parameter(
        "secret",
        name="/mail/secret",
        type="SecureString",
        value=pulumi.Output.secret(f"hidden-{word}"),
        tags=tags,
        opts=options,
    )
    return aws.s3.BucketObjectv2(
        "object", bucket=bucket.bucket, key="users.yaml", content=word, tags=tags, opts=options
    )
