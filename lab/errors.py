"""The one base of the lab's errors that are for people: the message says what to do."""

from __future__ import annotations


class LabError(RuntimeError):
    """Something that the lab's user can read and act on."""
