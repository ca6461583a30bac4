"""An emulator process for tests: several folders share it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from lab.faults import Faults, faults_file, write_faults

START_SECONDS = 30
"""moto answers after 1.5 to 3 s; a loaded machine may need much longer."""
STOP_SECONDS = 10
POLL_SECONDS = 0.02


class Emulator:
    """A running emulator; `endpoint` is its URL. Use it as a context manager.

    `folder` receives the port file and the log. `images` are (AMI id, architecture). `quotas`
    raises AWS's default quotas (lab.emulator.quotas), as a request for an increase does.
    """

    def __init__(
        self,
        folder: Path,
        *,
        images: tuple[tuple[str, str], ...],
        quotas: Mapping[str, int] | None = None,
    ) -> None:
        self._folder = folder
        self._images = images
        self._quotas = dict(quotas or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._folder / "emulator.log"

    @property
    def endpoint(self) -> str:
        """Raises AssertionError when it does not run."""
        if self._process is None:
            raise AssertionError("the emulator is not running")
        return f"http://127.0.0.1:{self._port_file.read_text().strip()}"

    def fault(self, faults: Faults) -> None:
        """Break this and nothing else."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_faults(faults, faults_file(self._folder))

    @property
    def pid(self) -> int:
        if self._process is None:
            raise AssertionError("the emulator is not running")
        return self._process.pid

    @property
    def _port_file(self) -> Path:
        return self._folder / "emulator.port"

    def start(self) -> Emulator:
        """Start it and wait until it answers. Raises AssertionError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port_file.unlink(missing_ok=True)
        images = [word for image in self._images for word in ("--image", "=".join(image))]
        command = [sys.executable, "-m", "lab.emulator", "--port-file", str(self._port_file)]
        command += ["--faults-file", str(faults_file(self._folder))]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        quotas = ",".join(f"{name}={value}" for name, value in self._quotas.items())
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *images],
                env={**environment, "GATEPOST_EMULATOR_QUOTAS": quotas},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for the lab, which then stops the emulator.
                start_new_session=True,
            )
        self._wait(self._process)
        return self

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._port_file.exists():
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                reason = "ended" if ended else f"did not answer within {START_SECONDS} s"
                tail = "\n".join(self.log.read_text().splitlines()[-10:])
                raise AssertionError(f"the emulator {reason}:\n{tail}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it; its state is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()
