"""Where a Debian root's apt gets its packages, read from its own configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIRROR_FILE = "mirror+file://"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One suite of an archive, as in sources.list(5)."""

    url: str
    suite: str
    component: str


def read_sources(root: Path) -> list[Source]:
    """The binary package sources of the Debian system at `root`.

    Reads the deb822 files of sources.list.d (sources.list(5)) and mirror lists
    (apt-transport-mirror(1)). Raises ValueError if there is none.
    """
    found = [
        Source(url=url, suite=suite, component=component)
        for path in sorted((root / "etc/apt/sources.list.d").glob("*.sources"))
        for stanza in _stanzas(path)
        if "deb" in stanza["types"].split()
        for uri in stanza["uris"].split()
        for url in _urls(root, uri)
        for suite in stanza["suites"].split()
        for component in stanza["components"].split()
    ]
    if not found:
        raise ValueError(f"{root}/etc/apt/sources.list.d has no .sources file that names a source")
    return found


def _stanzas(path: Path) -> list[dict[str, str]]:
    stanzas = []
    for block in path.read_text().split("\n\n"):
        fields = (line.split(":", 1) for line in block.splitlines() if not line.startswith("#"))
        stanza = {name.strip().lower(): value.strip() for name, value in fields}
        if stanza:
            stanzas.append(stanza)
    return stanzas


def _urls(root: Path, uri: str) -> list[str]:
    """The archives that a URI stands for: itself, or those a mirror list names."""
    if not uri.startswith(MIRROR_FILE):
        return [uri.rstrip("/")]
    listed = (root / uri.removeprefix(MIRROR_FILE).lstrip("/")).read_text()
    return [line.split()[0].rstrip("/") for line in listed.splitlines() if line.strip()]
