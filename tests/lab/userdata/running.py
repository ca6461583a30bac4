"""A role's real Postfix, with the tables of a directory, in a root and a network of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.machines.image import Image
from model.mail import Postfix
from userdata import render, software

HERE = Path(__file__).parent
LISTENS = "10.1.1.9"
"""Where a role behind the edge takes mail from others."""
RUN = """
set -eu
mount -t overlay overlay "$1/root" -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
ip link set lo up
for address in $3; do ip address add "$address/32" dev lo; done
mkdir -p "$1/root/var/lib/gatepost/tables" "$1/root/var/mail/vhosts"
chown 5000:5000 "$1/root/var/mail/vhosts"
exec chroot "$1/root" python3 /asked.py "$4"
"""
OWN = {
    "smtpd_tls_security_level": "none",
    "smtpd_client_restrictions": "",
    "smtpd_peername_lookup": "no",
    "maillog_file": "/var/log/mail.log",
}
"""Settings of the test's: nobody has to prove who he is."""


@dataclass
class Running:
    """Answers questions (tests/lab/userdata/asked.py has them)."""

    process: subprocess.Popen[str]

    def ask(self, question: str, *values: Any) -> Any:
        """The answer of the function of that name."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([question, *values]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"{question} ended it, see its standard error"
        return json.loads(line)


@contextmanager
def running(
    folder: Path,
    image: Image,
    postfix: Postfix,
    tables: Mapping[str, Any],
    *,
    clients: Sequence[str],
    kept: str,
) -> Generator[Running]:
    """Start a role in `folder`; `clients` are addresses from which it can be asked, `kept` the
    transports whose mail stays in its queue."""
    etc = folder / "upper" / "etc" / "postfix"
    etc.mkdir(parents=True)
    for name in ("root", "work"):
        (folder / name).mkdir()
    for name, content in render.postfix_files(postfix).items():
        (etc / name).write_text(content)
    for path, source in software.ROLES[postfix.role].items():
        if path.startswith("/etc/postfix/"):
            (etc / Path(path).name).write_bytes((software.HERE / source).read_bytes())
    (folder / "upper" / "asked.py").write_text((HERE / "asked.py").read_text())
    lower = ":".join(map(str, image.layers))
    apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    addresses = " ".join([LISTENS, *clients])
    with subprocess.Popen(
        [*apart, "sh", "-c", RUN, "run", str(folder), lower, addresses, LISTENS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
    ) as process:
        made = Running(process)
        try:
            made.ask("start", OWN | {"defer_transports": kept}, tables)
            yield made
        finally:
            process.kill()
