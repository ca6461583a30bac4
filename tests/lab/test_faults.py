"""Faults as state: what is kept, and what is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.faults import (
    SOUND,
    FaultError,
    Faults,
    faults_file,
    parse_faults,
    read_faults,
    write_faults,
)

SOME = Faults(
    port_25=("ms.example.jp",),
    nat_idle=5,
    blocklist="everything",
    listed=("192.0.2.10",),
    wrong_certificate=("internet",),
    null_sender_refused=True,
    smarthost_plain=True,
    undelegated=True,
    dns_remembered=True,
)


def test_faults_survive_their_file(tmp_path: Path) -> None:
    file = faults_file(tmp_path)
    assert read_faults(file) == SOUND
    write_faults(SOME, file)
    assert read_faults(file) == SOME
    assert list(SOME.made()) == [*SOME.__dataclass_fields__]
    assert SOUND.made() == {}


def test_a_blocklist_has_few_moods() -> None:
    with pytest.raises(FaultError, match="normal, nonsense, everything"):
        parse_faults('{"blocklist": "angry"}')


def test_without_tls_no_certificate_is_wrong() -> None:
    with pytest.raises(FaultError, match="no certificate is shown"):
        Faults(smarthost_plain=True, wrong_certificate=("smarthost",))


def test_port_25_is_blocked_for_one_or_all() -> None:
    assert SOME.blocks_port_25("ms.example.jp")
    assert not SOME.blocks_port_25("dmz-ms.example.jp")
    assert Faults(port_25=("all",)).blocks_port_25("dmz-ms.example.jp")
