"""The attempts on the edge: what they are, and how their replies are judged."""

from __future__ import annotations

import string
from collections import Counter

import pytest

from checks import vectors
from checks.suite import Scene
from checks.vectors_table import OURS, SAY, TLS, VECTORS, WHOLE, Vector
from tests.checks.fakes import FakeDeployment


def said() -> dict[str, str]:
    return {**vectors._names(Scene(FakeDeployment())), "word": "w"}


def test_there_are_many_of_many_kinds_and_none_twice() -> None:
    assert len(VECTORS) >= 60
    assert len({vector.group for vector in VECTORS}) >= 20
    assert len({vector.steps for vector in VECTORS}) == len(VECTORS)
    assert len({whole.between for whole in WHOLE}) == len(WHOLE)


def test_every_word_in_braces_is_filled_in() -> None:
    known = set(said())
    for vector in VECTORS:
        for _, text in vector.steps:
            used = {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
            assert used <= known, text


def test_a_refusal_is_for_good() -> None:
    """A 4xx would be tried again; 221 hangs up on another protocol."""
    codes = Counter(vector.refused[:3] for vector in VECTORS)
    assert all(code.startswith("5") for code in set(codes) - {"221"})


VECTOR = Vector(
    group="own sender",
    steps=((SAY, "EHLO a"), (SAY, "MAIL FROM:<{user}>"), (SAY, "RCPT TO:<{user}>")),
    refused=OURS,
)
GOING_ON = ["554 5.5.1 no", "", ""]


@pytest.mark.parametrize(
    ("replies", "finding"),
    [
        (["220 x", "250 x", "250 2.1.0 Ok", "550 5.7.1 no"], ""),
        (["220 x", "250 x", "250 2.1.0 Ok", "250 2.1.5 Ok"], "heard '250 2.1.5 Ok'"),
        (["220 x", "250 x", "250 2.1.0 Ok", "450 4.7.1 no"], "heard '450 4.7.1 no'"),
        (["220 x", "250 x", "550 5.7.1 no", "503 5.5.1 no"], "was not reached"),
        (["421 x", "", "", ""], "was not reached"),
    ],
)
def test_the_last_reply_must_be_the_stated_one_and_all_before_in_order(
    replies: list[str], finding: str
) -> None:
    found = vectors._judge(VECTOR, [*replies, *GOING_ON], said())
    assert finding in found
    assert bool(found) == bool(finding)


def test_a_handshake_has_no_reply() -> None:
    steps = ((SAY, "STARTTLS"), (TLS, ""), (SAY, "DATA"))
    vector = Vector(group="STARTTLS", steps=steps, refused="503 ")
    assert vectors._judge(vector, ["220 x", "220 go", "503 5.5.1 no", ""], said()) == ""
