"""Files of a machine: what lies ready in userdata/machine, and what templates make."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent


@cache
def templates() -> Environment:
    """The templates of userdata/templates; a value that is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    # Of what a host name may hold only the dot means something in an expression.
    environment.filters["regexp"] = lambda name: name.replace(".", r"\.")
    return environment


def packed(content: bytes) -> bytes:
    """A gzip file (RFC 1952) of the content: equal contents give equal bytes, as hosts go by them.

    By itself Python names the system that the file was made on, until 3.13 as zlib has it: with
    another Python on the administrator's machine every host would be replaced.
    """
    whole = bytearray(gzip.compress(content, compresslevel=9, mtime=0))
    whole[_MADE_ON] = _UNKNOWN
    return bytes(whole)


_MADE_ON = 9
_UNKNOWN = 255
"""Where a gzip file tells of the system that it was made on, and what says nothing of it (RFC 1952,
section 2.3.1)."""


def machine(name: str) -> str:
    """A file of userdata/machine."""
    return (HERE / "machine" / name).read_text()


def entry(path: str, content: str, *, mode: str = "0644", late: bool = False) -> dict[str, Any]:
    """An entry of cloud-init's write_files; a `late` one is written after the packages are there,
    over what they bring."""
    found = {"path": path, "content": content, "permissions": mode}
    return {**found, "defer": True} if late else found
