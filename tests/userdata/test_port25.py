"""The detector of a blocked port 25: what it concludes, how it asks, and whom it tells."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import gatepost_alarms
import pytest

from userdata.machine import gatepost_port25 as program
from userdata.machine.gatepost_port25 import HTTPS, SMTP, Answer, Settings, attempt, look

MX = ["mx.a.test", "mx.b.test", "mx.c.test"]
WEB = "api.test"
SETTINGS = Settings(hosts=MX, web=WEB)


def answering(mail: dict[str, Answer], web: dict[str, Answer]) -> str:
    """What it concludes; a host that is not named is silent."""
    by_port = {SMTP: mail, HTTPS: web}
    return look(SETTINGS, lambda host, port: by_port[port].get(host, Answer.SILENCE))


@pytest.mark.parametrize(
    ("mail", "web", "sentence"),
    [
        ({MX[0]: Answer.SOMETHING}, {}, ""),
        ({MX[2]: Answer.SOMETHING}, {WEB: Answer.SOMETHING}, ""),
        ({}, {WEB: Answer.SOMETHING}, "outbound port 25 is blocked: mx.a.test, mx.b.test, mx.c"),
        ({}, {MX[1]: Answer.SOMETHING}, "while mx.b.test does at port 443"),
        ({MX[0]: Answer.NO_NAME}, {WEB: Answer.SOMETHING}, "is blocked: mx.b.test, mx.c.test do"),
        ({}, {}, "no network: neither mx.a.test, mx.b.test, mx.c.test at port 25 nor any host"),
        (dict.fromkeys(MX, Answer.NO_NAME), {}, "the names of mx.a.test, mx.b.test, mx.c.test do"),
        (
            dict.fromkeys(MX[:2], Answer.NO_NAME),
            {WEB: Answer.SOMETHING},
            "the names of mx.a.test, mx.b.test do not resolve",
        ),
    ],
)
def test_what_it_concludes(mail: dict[str, Answer], web: dict[str, Answer], sentence: str) -> None:
    found = answering(mail, web)
    assert sentence in found
    assert bool(sentence) == bool(found)


def test_a_block_is_told_with_the_form_that_lifts_it() -> None:
    assert program.FORM in answering({}, {WEB: Answer.SOMETHING})


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A server that greets as SMTP does, at what the program takes for port 25."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(program, "SMTP", server.getsockname()[1])
        yield server


def test_it_takes_leave_politely(listener: socket.socket) -> None:
    heard: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 mx.a.test ESMTP\r\n")
            heard.append(connection.recv(100))

    thread = threading.Thread(target=serve)
    thread.start()
    assert attempt("127.0.0.1", program.SMTP) is Answer.SOMETHING
    thread.join()
    assert heard == [b"QUIT\r\n"]


def test_a_refusal_is_an_answer_and_silence_is_none(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.close()
    assert attempt("127.0.0.1", program.SMTP) is Answer.SOMETHING
    assert attempt("no.such.host.invalid", program.SMTP) is Answer.NO_NAME

    def silent(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    assert attempt("127.0.0.1", program.SMTP) is Answer.SILENCE


def test_an_alarm_is_told_when_it_begins_changes_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gatepost_alarms, "FOLDER", tmp_path / "alarms")
    said = []
    for sentence in ("", "blocked", "blocked", "no network", "", ""):
        gatepost_alarms.report("port25", sentence)
        out, err = capsys.readouterr()
        said.append((out, err))
        found = [(f.name, f.read_text()) for f in (tmp_path / "alarms").glob("*")]
        assert found == ([("port25", f"{sentence}\n")] if sentence else [])
    assert said == [
        ("", ""),
        ("", "alarm: blocked\n"),
        ("", ""),
        ("", "alarm: no network\n"),
        ("mended: no network\n", ""),
        ("", ""),
    ]
