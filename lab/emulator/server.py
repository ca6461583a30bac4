"""The server process: moto's WSGI application behind one lock, on a port of its own."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.emulator import changes

ARCHITECTURES = ("arm64", "x86_64")
Image = tuple[str, str]


def image(text: str) -> Image:
    """Parse `ami-…=arm64`. Raises ValueError."""
    identifier, _, architecture = text.partition("=")
    if not identifier.startswith("ami-") or architecture not in ARCHITECTURES:
        raise ValueError(f"{text!r} is not ami-…={{{','.join(ARCHITECTURES)}}}")
    return identifier, architecture


def serve(
    port_file: Path,
    images: tuple[Image, ...],
    images_file: Path | None = None,
    faults_file: Path | None = None,
) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; write the port when requests may be sent."""
    listening = socket.create_server(("127.0.0.1", 0))
    # moto takes seconds to import. Whoever asks before is answered after.
    _write_port(port_file, listening.getsockname()[1])
    # Read by moto when it is imported: without it the first EC2 call loads 2 s of AMIs.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    # What is imported stays, and need not be looked through for garbage again and again.
    gc.disable()
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from lab.emulator import extensions

    extensions.install(images, images_file, faults_file)
    gc.freeze()
    gc.enable()

    class QuietHandler(MotoRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            if str(code).startswith("5"):
                super().log_request(code, size)

    application = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server(
        *listening.getsockname(),
        application,
        threaded=True,
        request_handler=QuietHandler,
        fd=listening.fileno(),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    server.serve_forever()


class _OneAtATime:
    """Serialises requests: moto's stores are plain dicts that no lock guards."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._changes = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == changes.PATH:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(self._changes).encode()]
        counted = changes.may_change(environ)
        with self._lock:
            # Counted before it is done: who reads now waits for the lock, and sees it done.
            self._changes += counted
            return self._application(environ, start_response)


def _write_port(port_file: Path, port: int) -> None:
    unfinished = port_file.with_name(f".{port_file.name}-{os.getpid()}")
    unfinished.write_text(f"{port}\n")
    unfinished.replace(port_file)
