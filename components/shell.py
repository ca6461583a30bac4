"""How an administrator gets a shell: an EC2 Instance Connect endpoint and a key pair."""

from __future__ import annotations

import hashlib

import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import named


class Shell(ComponentResource):
    """SSH without an open port: who may use the endpoint is IAM's to say.

    The key comes by instance metadata, so it works on a machine whose user data failed as well.
    """

    def __init__(
        self,
        name: str,
        *,
        subnet_id: Input[str],
        group_id: Input[str],
        public_key: str,
        opts: ResourceOptions,
    ) -> None:
        super().__init__("gatepost:shell:Shell", name, None, opts)
        child = ResourceOptions(parent=self)
        self.endpoint = aws.ec2transitgateway.InstanceConnectEndpoint(
            f"{name}-shell",
            subnet_id=subnet_id,
            security_group_ids=[group_id],
            # The hosts' groups admit the endpoint's group; a kept client address would not match.
            preserve_client_ip=False,
            tags=named(f"{name}-shell"),
            opts=child,
        )
        # A name for each key: another key is then made before the old one goes, so that only the
        # hosts whose turn it is are replaced with it.
        digest = hashlib.sha256(public_key.encode()).hexdigest()[:8]
        self.key = aws.ec2.KeyPair(
            f"{name}-administrators",
            key_name=f"{name}-administrators-{digest}",
            public_key=public_key,
            tags=named(f"{name}-administrators"),
            opts=child,
        )
        self.register_outputs({"endpoint": self.endpoint.id})
