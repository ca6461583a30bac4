"""gatepost: build the stack that the chosen stack file describes: environment, branch or office."""

import pulumi

from model.fields import SettingsError
from model.settings import check_kind
from stacks import branch, environment, office

config = pulumi.Config("gatepost")
try:
    prefix = f"{config.name}:"
    given = [key for key in pulumi.runtime.get_config_env() if key.startswith(prefix)]
    kind = check_kind(config.get("kind"), [key.removeprefix(prefix) for key in given])
    stack = {"environment": environment, "branch": branch, "office": office}[kind]
    outputs = stack.build(pulumi.get_stack(), config.get_object(kind))
except SettingsError as problem:
    raise pulumi.RunError(str(problem)) from None
for name, value in outputs.items():
    pulumi.export(name, value)
