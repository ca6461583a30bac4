"""What goes wrong when AWS state is read."""


class WorldError(Exception):
    """The account holds something that the lab cannot stand in for."""
