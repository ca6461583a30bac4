"""Who made a call to AWS's API."""

from __future__ import annotations

import pytest

from lab.internet.call import Call, NotKnown, access_key


def signed(target: str = "/", **headers: str) -> Call:
    return Call(method="GET", host="s3.eu-west-1.amazonaws.com", target=target, headers=headers)


def test_who_signed() -> None:
    scope = "AKIA1/20260101/ap-northeast-1/s3/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    assert access_key(signed(Authorization=header)) == "AKIA1"
    presigned = f"/?X-Amz-Credential={scope.replace('/', '%2F')}"
    assert access_key(signed(presigned)) == "AKIA1"
    assert access_key(signed()) is None
    with pytest.raises(NotKnown, match="Bearer"):
        access_key(signed(Authorization="Bearer x"))
