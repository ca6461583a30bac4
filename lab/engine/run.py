"""The child process of one operation: `python -m lab.engine REQUEST_FILE ANSWER_FILE`.

It begins once a line comes on its standard input; all that can be done before is done by then. Its
standard output tells of the progress; DONE_LINE, when AWS is as the program says.

It runs the copy's `__main__.py` as an inline program of Pulumi's Automation API; the engine calls
back into this process for it. A fresh process each time, so that an edited program is read anew
and nothing of one run is left in the next.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import runpy
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation import events

from lab.engine.operation import DONE_LINE

COLOUR = re.compile(r"<\{%.*?%\}>")
UNREPORTED = ("same", "read", "refresh")
ECHOES = ("update failed", "preview failed", "destroy failed")
"""What the engine says of the stack when it has said why of a resource."""


_saying = threading.Lock()


def say(line: str) -> None:
    """Print a line in one piece: the engine's output and its events come by different threads."""
    with _saying:
        print(line, flush=True)


@dataclasses.dataclass
class Journal:
    """What the engine reports while it works."""

    changes: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    errors: list[str] = dataclasses.field(default_factory=list)
    program_error: str = ""
    summary: dict[str, int] = dataclasses.field(default_factory=dict)

    def record(self, event: events.EngineEvent) -> None:
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            operation = automation.OpType(step.op).value
            if operation not in UNREPORTED:
                self.changes.append((operation, step.urn))
        self.heed(event)
        if event.summary_event is not None:
            counted = event.summary_event.resource_changes
            self.summary = {automation.OpType(op).value: n for op, n in counted.items()}
            if not self.errors:
                say(DONE_LINE)

    def heed(self, event: events.EngineEvent) -> None:
        """Record an error, and nothing else: for a preview that comes before the operation."""
        diagnostic = event.diagnostic_event
        if diagnostic is not None and diagnostic.severity == "error":
            self._record_error(diagnostic)

    @property
    def explanation(self) -> str:
        """The program's own error when it raised one, with whatever resources failed."""
        echo = "python inline source runtime error"
        of_resources = [error for error in self.errors if echo not in error]
        return "\n".join(filter(None, [*of_resources, self.program_error]))

    def _record_error(self, diagnostic: Any) -> None:
        text = COLOUR.sub("", diagnostic.message).strip()
        if text not in ECHOES:
            self.errors.append(_message(diagnostic.urn, text))


def _message(urn: str | None, text: str) -> str:
    if not urn:
        return text
    kind, name = urn.split("::")[-2:]
    return f"{kind.rpartition('$')[2]} {name}: {text}"


def main(request_file: str, answer_file: str) -> None:
    request = json.loads(Path(request_file).read_text())
    journal = Journal()
    answer: dict[str, Any] = {}
    try:
        answer["outputs"] = _operate(request, journal)
    except automation.CommandError as error:
        answer["error"] = journal.explanation or str(error)
    answer |= {"changes": journal.changes, "summary": journal.summary}
    Path(answer_file).write_text(json.dumps(answer))


def _operate(request: dict[str, Any], journal: Journal) -> dict[str, Any]:
    stack = automation.create_or_select_stack(
        stack_name=request["stack"],
        project_name=request["project"],
        program=lambda: _program(journal),
        opts=automation.LocalWorkspaceOptions(work_dir=os.getcwd()),
    )
    sys.stdin.readline()
    if request["locked"]:
        # The caller holds the lab's own lock, so that this one is of an engine that was killed.
        stack.cancel()
    if request["operation"] == "outputs":
        return _plain(stack.outputs())
    options: dict[str, Any] = {"on_event": journal.record, "on_output": say, "color": "never"}
    if request["operation"] == "preview":
        stack.preview(**options)
        return {}
    if request["operation"] == "destroy":
        # As `pulumi destroy` does. The Automation API skips the preview, and without it all that
        # is not protected would be gone by the time the engine refuses the rest.
        stack.preview_destroy(on_event=journal.heed, on_output=say, color="never")
        stack.destroy(**options)
        return {}
    # `show_secrets` is about the history, of which nothing is taken.
    result = stack.up(**options, refresh=request["refresh"], show_secrets=False)
    return _plain(result.outputs)


def _plain(outputs: Mapping[str, automation.OutputValue]) -> dict[str, Any]:
    return {name: output.value for name, output in outputs.items()}


def _program(journal: Journal) -> None:
    try:
        runpy.run_path("__main__.py", run_name="__main__")
    except Exception as error:
        # The engine reports it twice and with frames of its own; keep the program's.
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename not in (__file__, runpy.__file__, "<frozen runpy>")
        ]
        lines = traceback.format_list(frames) + traceback.format_exception_only(error)
        journal.program_error = "".join(lines).strip()
        raise
