"""What goes wrong when the network is planned or built."""

from __future__ import annotations

from lab.errors import LabError


class NetworkError(LabError):
    """The network that AWS state describes cannot be built."""


class CommandError(NetworkError):
    """A command that builds the network failed.

    `done` is how many of the commands given together had already taken effect.
    """

    def __init__(self, message: str, *, done: int) -> None:
        super().__init__(message)
        self.done = done
