"""What goes wrong when AWS state is read."""

from __future__ import annotations

from lab.errors import LabError


class WorldError(LabError):
    """The account holds something that the lab cannot stand in for."""
