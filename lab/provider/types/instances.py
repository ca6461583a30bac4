"""EC2 instances. Registry page: aws/ec2/instance."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from lab import userdata
from lab.provider import checks
from lab.provider.aws import Aws, retag, specification, tag_list, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS, exactly_one
from lab.provider.values import UNKNOWN, Values

STOPPING = {"Delay": 1, "MaxAttempts": 60}
"""Seconds between two looks at an instance that stops, and how many; the emulator stops at once."""

METADATA = {
    "httpEndpoint": "HttpEndpoint",
    "httpProtocolIpv6": "HttpProtocolIpv6",
    "httpPutResponseHopLimit": "HttpPutResponseHopLimit",
    "httpTokens": "HttpTokens",
    "instanceMetadataTags": "InstanceMetadataTags",
}
ROOT_VOLUME = {
    "encrypted": "Encrypted",
    "kmsKeyId": "KmsKeyId",
    "volumeSize": "VolumeSize",
    "volumeType": "VolumeType",
}
_SPEED = "a root volume of the lab has no speed of its own"
LAUNCH = {
    "ami": "ImageId",
    "disableApiTermination": "DisableApiTermination",
    "ebsOptimized": "EbsOptimized",
    "instanceInitiatedShutdownBehavior": "InstanceInitiatedShutdownBehavior",
    "instanceType": "InstanceType",
    "keyName": "KeyName",
}
PLACE = {
    "associatePublicIpAddress": "AssociatePublicIpAddress",
    "privateIp": "PrivateIpAddress",
    "subnetId": "SubnetId",
    "vpcSecurityGroupIds": "Groups",
}
"""What of an instance's inputs belongs to the interface that is made for it."""


def _create(aws: Aws, new: Values) -> str:
    request: dict[str, Any] = {p: new[name] for name, p in LAUNCH.items() if name in new}
    if user_data := _user_data(new):
        request["UserData"] = user_data
    if "iamInstanceProfile" in new:
        request["IamInstanceProfile"] = {"Name": new["iamInstanceProfile"]}
    if "metadataOptions" in new:
        request["MetadataOptions"] = _renamed(METADATA, new["metadataOptions"])
    if "creditSpecification" in new:
        request["CreditSpecification"] = {"CpuCredits": new["creditSpecification"]["cpuCredits"]}
    request["NetworkInterfaces"] = [_primary_interface(new)]
    if "rootBlockDevice" in new:
        request["BlockDeviceMappings"] = [_root_mapping(aws, new)]
    made = aws.ec2.run_instances(
        MinCount=1,
        MaxCount=1,
        Monitoring={"Enabled": new["monitoring"]},
        TagSpecifications=specification("instance", new.get("tags")),
        **request,
    )
    return made["Instances"][0]["InstanceId"]


def _renamed(names: dict[str, str], values: Values) -> dict[str, Any]:
    return {parameter: values[name] for name, parameter in names.items() if name in values}


def _primary_interface(new: Values) -> dict[str, Any]:
    """An interface made for the instance, or one that is there and stays when it ends."""
    if "primaryNetworkInterface" in new:
        given = new["primaryNetworkInterface"]["networkInterfaceId"]
        return {"DeviceIndex": 0, "NetworkInterfaceId": given, "DeleteOnTermination": False}
    return {"DeviceIndex": 0, "DeleteOnTermination": True, **_renamed(PLACE, new)}


def _user_data(new: Values) -> bytes | None:
    """The bytes before base64, which boto3 applies."""
    if "userDataBase64" in new:
        return base64.b64decode(new["userDataBase64"], validate=True)
    return new["userData"].encode() if new.get("userData") else None


def _root_mapping(aws: Aws, new: Values) -> dict[str, Any]:
    image = aws.ec2.describe_images(ImageIds=[new["ami"]])["Images"][0]
    volume = _renamed(ROOT_VOLUME, new["rootBlockDevice"])
    # Registry, rootBlockDevice: deleted on termination, size of the image unless told otherwise.
    snapshot = image["BlockDeviceMappings"][0]["Ebs"]
    volume = {"DeleteOnTermination": True, "VolumeSize": snapshot["VolumeSize"], **volume}
    return {"DeviceName": image["RootDeviceName"], "Ebs": volume}


def _settle(aws: Aws, identifier: str, new: Values) -> None:
    if new["sourceDestCheck"] is False:
        aws.ec2.modify_instance_attribute(InstanceId=identifier, SourceDestCheck={"Value": False})
    tags = new.get("rootBlockDevice", {}).get("tags")
    if tags:
        volume = _root_volume(aws, _instance(aws, identifier)) or {}
        aws.ec2.create_tags(Resources=[volume["volumeId"]], Tags=tag_list(tags))


def _instance(aws: Aws, identifier: str) -> dict[str, Any]:
    found = aws.ec2.describe_instances(InstanceIds=[identifier])
    return found["Reservations"][0]["Instances"][0]


def _read(aws: Aws, identifier: str, state: Values) -> Values | None:
    instance = _instance(aws, identifier)
    if instance["State"]["Name"] in ("terminated", "shutting-down"):
        return None
    interface = instance["NetworkInterfaces"][0]
    profile = instance.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]
    return {
        **_read_attributes(aws, identifier),
        **_read_user_data(aws, identifier, state),
        **_read_place(aws, interface, state),
        "ami": instance["ImageId"],
        "arn": aws.arn("ec2", f"instance/{identifier}"),
        "availabilityZone": instance["Placement"]["AvailabilityZone"],
        "creditSpecification": _read_credits(aws, identifier),
        "ebsOptimized": instance.get("EbsOptimized", False),
        "iamInstanceProfile": profile or None,
        "instanceState": instance["State"]["Name"],
        "instanceType": instance["InstanceType"],
        "keyName": instance.get("KeyName"),
        "metadataOptions": {n: instance["MetadataOptions"].get(p) for n, p in METADATA.items()},
        "monitoring": instance["Monitoring"]["State"] == "enabled",
        "primaryNetworkInterfaceId": interface["NetworkInterfaceId"],
        "privateDns": instance.get("PrivateDnsName"),
        "privateIp": instance["PrivateIpAddress"],
        "publicDns": instance.get("PublicDnsName"),
        "publicIp": instance.get("PublicIpAddress"),
        "rootBlockDevice": _root_volume(aws, instance),
        "subnetId": instance["SubnetId"],
        "tags": tag_map(instance.get("Tags")),
        "vpcSecurityGroupIds": [group["GroupId"] for group in interface["Groups"]],
    }


def _read_place(aws: Aws, interface: dict[str, Any], state: Values) -> Values:
    """What depends on how the instance got its interface and its public address."""
    public = interface.get("Association", {}).get("PublicIp")
    found: Values = {"associatePublicIpAddress": bool(public) and not _is_elastic(aws, public)}
    if "primaryNetworkInterface" in state:
        attachment = interface["Attachment"]
        found["primaryNetworkInterface"] = {
            "deleteOnTermination": attachment.get("DeleteOnTermination", False),
            "networkInterfaceId": interface["NetworkInterfaceId"],
        }
    else:
        # Of a given interface this is a property of its own resource.
        found["sourceDestCheck"] = interface["SourceDestCheck"]
    return found


def _is_elastic(aws: Aws, address: str) -> bool:
    only = [{"Name": "public-ip", "Values": [address]}]
    return bool(aws.ec2.describe_addresses(Filters=only)["Addresses"])


def _read_attributes(aws: Aws, identifier: str) -> Values:
    attributes = ("disableApiTermination", "instanceInitiatedShutdownBehavior")
    values = {}
    for name in attributes:
        found = aws.ec2.describe_instance_attribute(InstanceId=identifier, Attribute=name)
        values[name] = found[name[0].upper() + name[1:]]["Value"]
    return values


def _read_user_data(aws: Aws, identifier: str, state: Values) -> Values:
    found = aws.ec2.describe_instance_attribute(InstanceId=identifier, Attribute="userData")
    encoded = found.get("UserData", {}).get("Value")
    if not encoded:
        return {"userData": None, "userDataBase64": None}
    if "userDataBase64" in state:
        return {"userDataBase64": encoded}
    return {"userData": base64.b64decode(encoded).decode(errors="backslashreplace")}


def _read_credits(aws: Aws, identifier: str) -> Values:
    found = aws.ec2.describe_instance_credit_specifications(InstanceIds=[identifier])
    return {"cpuCredits": found["InstanceCreditSpecifications"][0]["CpuCredits"]}


def _root_volume(aws: Aws, instance: dict[str, Any]) -> Values | None:
    for mapping in instance["BlockDeviceMappings"]:
        found = aws.ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])
        volume = found["Volumes"][0]
        if mapping["DeviceName"] == instance["RootDeviceName"]:
            return {
                "deleteOnTermination": mapping["Ebs"]["DeleteOnTermination"],
                "deviceName": mapping["DeviceName"],
                "encrypted": volume["Encrypted"],
                "tags": tag_map(volume.get("Tags")),
                "volumeId": volume["VolumeId"],
                "volumeSize": volume["Size"],
                "volumeType": volume["VolumeType"],
            }
    return None


def _update(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if changed & {"userData", "userDataBase64", "instanceType", "ebsOptimized"}:
        _update_stopped(aws, identifier, new, changed)
    _update_running(aws, identifier, new, changed)
    if "iamInstanceProfile" in changed:
        _replace_profile(aws, identifier, new.get("iamInstanceProfile"))
    if "rootBlockDevice" in changed:
        _update_root_volume(aws, old["rootBlockDevice"], new["rootBlockDevice"])
    retag(aws, identifier, old, new)


def _update_stopped(aws: Aws, identifier: str, new: Values, changed: set[str]) -> None:
    """As the real provider: stop, modify, start; cloud-init does not run again."""
    stop(aws, identifier)
    if changed & {"userData", "userDataBase64"}:
        aws.ec2.modify_instance_attribute(
            InstanceId=identifier, UserData={"Value": _user_data(new) or b""}
        )
    for name in ("instanceType", "ebsOptimized"):
        if name in changed:
            attribute = name[0].upper() + name[1:]
            aws.ec2.modify_instance_attribute(
                InstanceId=identifier, **{attribute: {"Value": new[name]}}
            )
    aws.ec2.start_instances(InstanceIds=[identifier])


def stop(aws: Aws, identifier: str) -> None:
    """Stop the instance and wait until it is stopped; one that is already is left alone."""
    aws.ec2.stop_instances(InstanceIds=[identifier])
    waiter = aws.ec2.get_waiter("instance_stopped")
    waiter.wait(InstanceIds=[identifier], WaiterConfig=STOPPING)


def _update_running(aws: Aws, identifier: str, new: Values, changed: set[str]) -> None:
    modify = aws.ec2.modify_instance_attribute
    if "vpcSecurityGroupIds" in changed:
        modify(InstanceId=identifier, Groups=new["vpcSecurityGroupIds"])
    for name in ("disableApiTermination", "sourceDestCheck", "instanceInitiatedShutdownBehavior"):
        if name in changed:
            attribute = name[0].upper() + name[1:]
            modify(InstanceId=identifier, **{attribute: {"Value": new[name]}})
    if "metadataOptions" in changed:
        options = _renamed(METADATA, new["metadataOptions"])
        aws.ec2.modify_instance_metadata_options(InstanceId=identifier, **options)
    if "creditSpecification" in changed:
        credit = {"InstanceId": identifier, "CpuCredits": new["creditSpecification"]["cpuCredits"]}
        aws.ec2.modify_instance_credit_specification(InstanceCreditSpecifications=[credit])
    if "monitoring" in changed:
        monitor = aws.ec2.monitor_instances if new["monitoring"] else aws.ec2.unmonitor_instances
        monitor(InstanceIds=[identifier])


def _replace_profile(aws: Aws, identifier: str, name: str | None) -> None:
    only = [{"Name": "instance-id", "Values": [identifier]}]
    found = aws.ec2.describe_iam_instance_profile_associations(Filters=only)
    present = [a["AssociationId"] for a in found["IamInstanceProfileAssociations"]]
    for association in present:
        aws.ec2.disassociate_iam_instance_profile(AssociationId=association)
    if name:
        aws.ec2.associate_iam_instance_profile(
            InstanceId=identifier, IamInstanceProfile={"Name": name}
        )


def _update_root_volume(aws: Aws, old: Values, new: Values) -> None:
    volume = old["volumeId"]
    names = {"volumeSize": "Size", "volumeType": "VolumeType"}
    request = {p: new[name] for name, p in names.items() if new.get(name, old[name]) != old[name]}
    if request:
        aws.ec2.modify_volume(VolumeId=volume, **request)
    retag(aws, volume, old, new)


def _delete(aws: Aws, identifier: str, state: Values) -> None:
    if state.get("forceDestroy"):
        aws.ec2.modify_instance_attribute(
            InstanceId=identifier, DisableApiTermination={"Value": False}
        )
    aws.ec2.terminate_instances(InstanceIds=[identifier])


def _rules(new: Values) -> Iterable[str]:
    yield from exactly_one(new, "subnetId", "primaryNetworkInterface")
    if "primaryNetworkInterface" in new:
        for name in PLACE.keys() & new.keys():
            yield f"{name} belongs to the network interface, not beside primaryNetworkInterface"
    if "userData" in new and "userDataBase64" in new:
        yield "userData and userDataBase64 exclude each other"
    if UNKNOWN in (new.get("userData"), new.get("userDataBase64")):
        return
    try:
        size = len(_user_data(new) or b"")
    except ValueError as error:
        yield f"userDataBase64 is not base64: {error}"
        return
    if size > userdata.LIMIT:
        yield f"user data is limited to {userdata.LIMIT} bytes, got {size}"


def _replaced_by(new: Values, changed: set[str]) -> set[str]:
    """Registry: userDataReplaceOnChange makes new user data a new instance."""
    if new.get("userDataReplaceOnChange"):
        return changed & {"userData", "userDataBase64"}
    return set()


INSTANCE = Resource(
    token="aws:ec2/instance:Instance",
    inputs={
        "ami": Property(required=True, replaces=True),
        "associatePublicIpAddress": Property(computed=True, replaces=True),
        "creditSpecification": Property(
            computed=True,
            fields={"cpuCredits": Property(check=checks.one_of("standard", "unlimited"))},
        ),
        "disableApiTermination": Property(computed=True),
        "ebsOptimized": Property(computed=True),
        "forceDestroy": Property(default=False),
        "iamInstanceProfile": Property(computed=True),
        "instanceInitiatedShutdownBehavior": Property(
            computed=True, check=checks.one_of("stop", "terminate")
        ),
        "instanceType": Property(required=True),
        "keyName": Property(computed=True, replaces=True),
        "metadataOptions": Property(
            computed=True,
            fields={
                "httpEndpoint": Property(
                    computed=True, check=checks.only("enabled", "its metadata service answers all")
                ),
                "httpProtocolIpv6": Property(computed=True),
                "httpPutResponseHopLimit": Property(
                    computed=True, check=checks.one_of(*range(1, 65))
                ),
                "httpTokens": Property(computed=True, check=checks.one_of("optional", "required")),
                "instanceMetadataTags": Property(computed=True),
            },
        ),
        "monitoring": Property(default=False),
        "primaryNetworkInterface": Property(
            computed=True,
            fields={
                "deleteOnTermination": Property(refused="the lab keeps an interface of its own"),
                "networkInterfaceId": Property(required=True, replaces=True),
            },
        ),
        "privateIp": Property(computed=True, replaces=True, check=checks.address),
        "rootBlockDevice": Property(
            computed=True,
            fields={
                "deleteOnTermination": Property(refused="the lab's root volumes go with a machine"),
                "encrypted": Property(computed=True, replaces=True),
                "iops": Property(refused=_SPEED),
                "kmsKeyId": Property(computed=True, replaces=True),
                "tags": TAGS,
                "throughput": Property(refused=_SPEED),
                "volumeSize": Property(computed=True),
                "volumeType": Property(computed=True),
            },
        ),
        "sourceDestCheck": Property(default=True),
        "subnetId": Property(computed=True, replaces=True),
        "tags": TAGS,
        "userData": Property(),
        "userDataBase64": Property(),
        "userDataReplaceOnChange": Property(default=False),
        "volumeTags": Property(
            refused="volumeTags fights with the tags of volumes: use rootBlockDevice.tags"
        ),
        "vpcSecurityGroupIds": Property(computed=True, unordered=True),
    },
    outputs=(
        "arn",
        "availabilityZone",
        "instanceState",
        "primaryNetworkInterfaceId",
        "privateDns",
        "publicDns",
        "publicIp",
    ),
    create=_create,
    settle=_settle,
    read=_read,
    update=_update,
    delete=_delete,
    check=_rules,
    replaced_by=_replaced_by,
)

TYPES = (INSTANCE,)
