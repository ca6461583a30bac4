"""Objects in buckets. Registry page: aws/s3/bucketobjectv2.

That an object of a versioned bucket is deleted with its versions is in the source of its upstream:
internal/service/s3/object.go, resourceObjectDelete, of terraform-provider-aws.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from lab.provider.aws import Aws, tag_list, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.types.s3 import BUCKET
from lab.provider.values import Values

OBJECT_SETTINGS = {
    "cacheControl": "CacheControl",
    "contentDisposition": "ContentDisposition",
    "contentEncoding": "ContentEncoding",
    "contentLanguage": "ContentLanguage",
    "contentType": "ContentType",
    "metadata": "Metadata",
    "serverSideEncryption": "ServerSideEncryption",
    "storageClass": "StorageClass",
}


def _put_object(aws: Aws, new: Values) -> str:
    if "contentBase64" in new:
        body = base64.b64decode(new["contentBase64"], validate=True)
    else:
        body = new.get("content", "").encode()
    settings = {p: new[name] for name, p in OBJECT_SETTINGS.items() if name in new}
    aws.s3.put_object(Bucket=new["bucket"], Key=new["key"], Body=body, **settings)
    return f"{new['bucket']}/{new['key']}"


def _tag_object(aws: Aws, _identifier: str, new: Values) -> None:
    where = {"Bucket": new["bucket"], "Key": new["key"]}
    if new.get("tags"):
        aws.s3.put_object_tagging(Tagging={"TagSet": tag_list(new["tags"])}, **where)


def _read_object(aws: Aws, identifier: str, state: Values) -> Values | None:
    where = {"Bucket": state["bucket"], "Key": state["key"]}
    found = aws.s3.get_object(**where)
    body = found["Body"].read()
    content = (
        {"contentBase64": base64.b64encode(body).decode()}
        if "contentBase64" in state
        else {"content": body.decode(errors="backslashreplace")}
    )
    return {
        **content,
        "arn": f"arn:aws:s3:::{identifier}",
        "contentType": found.get("ContentType"),
        "etag": found["ETag"].strip('"'),
        "tags": tag_map(aws.s3.get_object_tagging(**where)["TagSet"]),
        "versionId": found.get("VersionId"),
    }


def _update_object(aws: Aws, identifier: str, old: Values, new: Values, _c: set[str]) -> None:
    _put_object(aws, new)
    _tag_object(aws, identifier, new)


def _delete_object(aws: Aws, _identifier: str, state: Values) -> None:
    """With all its versions where the bucket keeps some, as the provider does."""
    where = {"Bucket": state["bucket"], "Key": state["key"]}
    if not state.get("versionId"):
        aws.s3.delete_object(**where)
        return
    pages = aws.s3.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=state["bucket"], Prefix=state["key"]):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            if version["Key"] == state["key"]:
                aws.s3.delete_object(VersionId=version["VersionId"], **where)


def _object_rules(new: Values) -> Iterable[str]:
    if "content" in new and "contentBase64" in new:
        yield "content and contentBase64 exclude each other"


OBJECT = Resource(
    token="aws:s3/bucketObjectv2:BucketObjectv2",
    inputs={
        **{name: Property(computed=True) for name in OBJECT_SETTINGS},
        "bucket": BUCKET,
        "content": Property(),
        "contentBase64": Property(),
        "etag": Property(computed=True),
        "forceDestroy": Property(default=False),
        "key": Property(required=True, replaces=True),
        "source": Property(refused="the lab takes content or contentBase64, not source"),
        "tags": TAGS,
    },
    outputs=("arn", "versionId"),
    create=_put_object,
    settle=_tag_object,
    read=_read_object,
    update=_update_object,
    delete=_delete_object,
    check=_object_rules,
)

TYPES = (OBJECT,)
