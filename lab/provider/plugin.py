"""The provider: what the engine asks for, answered from the tables of types and functions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError, ParamValidationError
from pulumi.provider.experimental import provider as protocol

from lab.provider import function as functions
from lab.provider import resource as model
from lab.provider import values
from lab.provider.aws import Aws, ProviderError, code_of, is_gone
from lab.provider.invokes import FUNCTIONS
from lab.provider.registry import RESOURCES
from lab.provider.resource import Resource
from lab.provider.values import UNKNOWN, Values

DELETE_SECONDS = 20
"""How long a delete is repeated while other deletes may still free the object. The real provider
does so for minutes; here nothing takes longer than the requests themselves."""
RETRY_SECONDS = 0.1
AUTONAMED = "__defaults"
"""The input in which the engine's bridge, too, keeps the names of generated inputs."""
CONFIGURATION = frozenset(
    {
        "allowedAccountIds",
        "defaultTags",
        "region",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
        "version",
    }
)
TAGGED = ("rootBlockDevice", "tags")
"""Inputs that default tags go into; an instance's root volume is a resource of its own."""
T = TypeVar("T")


class AwsProvider(protocol.Provider):
    """Every request runs alone: an API call blocks the loop, so that calls come one by one."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._aws: Aws | None = None
        self._default_tags: dict[str, str] = {}

    @property
    def aws(self) -> Aws:
        if self._aws is None:
            raise ProviderError("the provider is used before it is configured")
        return self._aws

    async def get_schema(self, request: protocol.GetSchemaRequest) -> protocol.GetSchemaResponse:
        return protocol.GetSchemaResponse(json.dumps({"name": "aws", "version": self._version}))

    async def check_config(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        failures = [
            protocol.CheckFailure(
                name, f"the lab's provider does not support the configuration {name}"
            )
            for name in request.new_inputs
            if name not in CONFIGURATION
        ]
        if "region" not in request.new_inputs:
            failures.append(protocol.CheckFailure("region", "the provider needs a region"))
        return protocol.CheckResponse(request.new_inputs, failures)

    async def diff_config(self, request: protocol.DiffRequest) -> protocol.DiffResponse:
        old, new = values.plain(request.old_state), values.plain(request.new_inputs)
        # Left unset, `changes` lets the engine compare the inputs itself.
        return protocol.DiffResponse(
            replaces=["region"] if old.get("region") != new.get("region") else []
        )

    async def configure(self, request: protocol.ConfigureRequest) -> protocol.ConfigureResponse:
        configuration = values.plain(request.args)
        self._aws = Aws(configuration["region"])
        self._check_account(_decoded(configuration.get("allowedAccountIds")) or [])
        tags = _decoded(configuration.get("defaultTags")) or {}
        self._default_tags = tags.get("tags") or {}
        # Outputs and resources as such are not needed; the protocol's Python decoding of
        # unknown outputs fails, so that they stay off.
        return protocol.ConfigureResponse(accept_secrets=True, supports_preview=True)

    def _check_account(self, allowed: list[str]) -> None:
        if allowed and self.aws.account not in allowed:
            raise ProviderError(
                f"account {self.aws.account} is not in allowedAccountIds {', '.join(allowed)}"
            )

    async def check(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        resource = _resource(request.type)
        new = values.plain(request.new_inputs)
        self._apply_default_tags(resource, new)
        _autoname(resource, request, new)
        failures = [*model.complaints(resource.inputs, new), *self._region_complaint(new)]
        if resource.check is not None and not failures:
            failures += [("", reason) for reason in resource.check(new)]
        kept = {k: v for k, v in request.new_inputs.items() if k in new and k not in TAGGED}
        added = {k: v for k, v in new.items() if k not in kept}
        secret = values.secret_keys(request.new_inputs)
        return protocol.CheckResponse(
            {**kept, **values.wrapped(added, secret)},
            [protocol.CheckFailure(path, reason) for path, reason in failures],
        )

    def _apply_default_tags(self, resource: Resource, new: Values) -> None:
        """As the real provider: default tags go into `tags`, where the resource's own win."""
        if self._default_tags and "tags" in resource.inputs and new.get("tags") != UNKNOWN:
            new["tags"] = {**self._default_tags, **new.get("tags", {})}
        disk = new.get("rootBlockDevice")
        if self._default_tags and isinstance(disk, dict) and disk.get("tags") != UNKNOWN:
            new["rootBlockDevice"] = {
                **disk,
                "tags": {**self._default_tags, **disk.get("tags", {})},
            }

    def _region_complaint(self, new: Values) -> list[tuple[str, str]]:
        region = new.get("region", UNKNOWN)
        if region in (UNKNOWN, self.aws.region):
            return []
        return [("region", f"the lab has one Region, {self.aws.region}, got {region}")]

    async def diff(self, request: protocol.DiffRequest) -> protocol.DiffResponse:
        resource = _resource(request.type)
        old, new = values.plain(request.old_state), values.plain(request.new_inputs)
        found = [
            change
            for change in model.changes(resource.inputs, new, old)
            if change.name not in request.ignore_changes
        ]
        replacing = _replacing(resource, new, found)
        return protocol.DiffResponse(
            changes=bool(found),
            replaces=sorted(replacing),
            diffs=sorted({change.name for change in found}),
            detailed_diff={c.path: _detail(c, c.name in replacing) for c in found},
            delete_before_replace=bool(replacing) and _keeps_name(resource, old, new),
        )

    async def create(self, request: protocol.CreateRequest) -> protocol.CreateResponse:
        resource = _resource(request.type)
        new = model.filled(resource.inputs, values.plain(request.properties))
        secret = _secrets(resource, request.properties)
        if request.preview:
            return protocol.CreateResponse(
                properties=values.wrapped(_preview(resource, new), secret)
            )
        identifier, state = _reported(lambda: self._create(resource, new))
        return protocol.CreateResponse(identifier, values.wrapped(state, secret))

    def _create(self, resource: Resource, new: Values) -> tuple[str, Values]:
        identifier = resource.create(self.aws, new)
        try:
            if resource.settle is not None:
                resource.settle(self.aws, identifier, new)
            return identifier, self._state(resource, identifier, new)
        except Exception:
            # Half a resource would be an orphan that no state knows.
            resource.delete(self.aws, identifier, new)
            raise

    def _state(self, resource: Resource, identifier: str, new: Values) -> Values:
        actual = resource.read(self.aws, identifier, new)
        if actual is None:
            raise ProviderError(f"{identifier} is gone right after it was written")
        return self._with_derived(resource, model.settled(resource.inputs, new, actual))

    def _with_derived(self, resource: Resource, state: Values) -> Values:
        if "tags" in resource.inputs:
            state = {**state, "tagsAll": state.get("tags", {})}
        return {**state, "region": self.aws.region} if "region" in resource.inputs else state

    async def read(self, request: protocol.ReadRequest) -> protocol.ReadResponse:
        resource = _resource(request.type)
        if not request.properties:
            raise ProviderError(f"{request.type} {request.name}: the lab does not import resources")
        old, inputs = values.plain(request.properties), values.plain(request.inputs)
        actual = _reported(
            lambda: self._read(resource, request.resource_id, old),
        )
        if actual is None:
            return protocol.ReadResponse()
        state = self._with_derived(resource, model.settled(resource.inputs, old, actual))
        drifted = _drifted_inputs(resource, inputs, old, state)
        kept = {k: v for k, v in request.inputs.items() if k not in drifted}
        secret = _secrets(resource, {**request.properties, **request.inputs})
        return protocol.ReadResponse(
            request.resource_id,
            values.wrapped(state, secret),
            {**kept, **values.wrapped(drifted, secret)},
        )

    def _read(self, resource: Resource, identifier: str, state: Values) -> Values | None:
        try:
            return resource.read(self.aws, identifier, state)
        except ClientError as error:
            if is_gone(error):
                return None
            raise

    async def update(self, request: protocol.UpdateRequest) -> protocol.UpdateResponse:
        resource = _resource(request.type)
        old = values.plain(request.olds)
        given = values.plain(request.news)
        new = model.filled(resource.inputs, given)
        secret = _secrets(resource, request.news)
        if request.preview:
            return protocol.UpdateResponse(values.wrapped({**old, **new}, secret))
        changed = {change.name for change in model.changes(resource.inputs, given, old)}
        state = _reported(
            lambda: self._update(resource, request.resource_id, old, new, changed),
        )
        return protocol.UpdateResponse(values.wrapped(state, secret))

    def _update(
        self, resource: Resource, identifier: str, old: Values, new: Values, changed: set[str]
    ) -> Values:
        if resource.update is not None:
            resource.update(self.aws, identifier, old, new, changed)
        free = {n for n, known in resource.inputs.items() if not known.computed}
        return self._state(
            resource, identifier, {k: v for k, v in old.items() if k not in free} | new
        )

    async def delete(self, request: protocol.DeleteRequest) -> None:
        resource = _resource(request.type)
        state = values.plain(request.properties)
        deadline = time.monotonic() + DELETE_SECONDS
        while True:
            try:
                resource.delete(self.aws, request.resource_id, state)
                return
            except ClientError as error:
                if is_gone(error):
                    return
                if code_of(error) != "DependencyViolation" or time.monotonic() > deadline:
                    raise ProviderError(str(error)) from error
            # Meanwhile the engine's other deletes run, one of which may free this object.
            await asyncio.sleep(RETRY_SECONDS)

    async def invoke(self, request: protocol.InvokeRequest) -> protocol.InvokeResponse:
        function = FUNCTIONS.get(request.tok)
        if function is None:
            raise ProviderError(f"the lab's provider does not support the function {request.tok}")
        arguments = values.plain(request.args)
        functions.check(request.tok, function, arguments, self.aws.region)
        result = _reported(lambda: function.call(self.aws, arguments))
        return protocol.InvokeResponse(values.wrapped(result, function.secret))


def _resource(qualified: str) -> Resource:
    """The type of `parent$child` tokens is the last one."""
    token = qualified.rpartition("$")[2]
    if token not in RESOURCES:
        raise ProviderError(f"the lab's provider does not support the resource type {token}")
    return RESOURCES[token]


def _decoded(value: Any) -> Any:
    """The engine passes nested provider configuration as JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def _autoname(resource: Resource, request: protocol.CheckRequest, new: Values) -> None:
    """Give an absent name as the engine's bridge does: the resource's name and seven digits."""
    if resource.named is None or resource.named in new:
        return
    old = values.plain(request.old_inputs)
    if resource.named in old.get(AUTONAMED, []):
        new[resource.named] = old[resource.named]
    else:
        new[resource.named] = f"{request.name}-{request.random_seed.hex()[:7]}"
    new[AUTONAMED] = [resource.named]


def _keeps_name(resource: Resource, old: Values, new: Values) -> bool:
    """A name that the program chose and keeps exists until the old resource is gone."""
    name = resource.named
    if name is None or name in new.get(AUTONAMED, []):
        return False
    return old.get(name) == new.get(name)


def _replacing(resource: Resource, new: Values, found: list[model.Change]) -> set[str]:
    names = {change.name for change in found}
    more = resource.replaced_by(new, names) if resource.replaced_by is not None else set()
    return {change.name for change in found if change.replaces} | more


def _detail(change: model.Change, replaces: bool) -> protocol.PropertyDiff:
    kind = change.kind.upper() + ("_REPLACE" if replaces else "")
    return protocol.PropertyDiff(protocol.PropertyDiffKind[kind], input_diff=False)


def _preview(resource: Resource, new: Values) -> Values:
    unknown = {n: UNKNOWN for n, p in resource.inputs.items() if p.computed and not p.fields}
    unknown |= dict.fromkeys(resource.outputs, UNKNOWN)
    if "tags" in resource.inputs:
        unknown["tagsAll"] = new.get("tags", {})
    return {**unknown, **new}


def _secrets(resource: Resource, properties: values.Properties) -> set[str]:
    always = {name for name, known in resource.inputs.items() if known.secret}
    return always | values.secret_keys(properties)


def _drifted_inputs(resource: Resource, inputs: Values, old: Values, state: Values) -> Values:
    """The inputs whose real value is not what the state had before this reading."""
    drifted: Values = {}
    for name, known in resource.inputs.items():
        given = name in inputs or not known.computed
        if given and model.differs(known, old.get(name), state.get(name)):
            drifted[name] = state.get(name)
    return drifted


def _reported(call: Callable[[], T]) -> T:
    """Run `call`; what the API refuses is an error to be read, not a fault of the provider."""
    try:
        return call()
    except (ClientError, ParamValidationError) as error:
        raise ProviderError(str(error)) from error
