"""The drill of a blocked port 25: who sends names it within minutes, and takes it back."""

from __future__ import annotations

from collections.abc import Collection

from checks import alarms
from checks.suite import Scene
from lab.faults import EVERY_HOST, SOUND, Faults
from lab.session import Lab
from lab.waiting import wait_for

LOOK = 1
"""Seconds between two looks, instead of the minutes that gatepost-port25.timer has."""
ALARM_LIMIT = 60.0
"""Seconds for a look to end, on a busy machine: it waits 10 for an answer, twice at most."""
_TIMER = "gatepost-port25.timer"
_DROP_IN = f"/run/systemd/system/{_TIMER}.d/drill.conf"
_QUICKLY = (
    f"mkdir -p $(dirname {_DROP_IN})\n"
    # The empty value forgets the ones before (systemd.timer(5)).
    f"printf '[Timer]\\nOnActiveSec=\\nOnActiveSec={LOOK}\\nOnUnitInactiveSec={LOOK}\\n"
    f"RandomizedDelaySec=0\\nAccuracySec=100ms\\n' > {_DROP_IN}\n"
    f"systemctl daemon-reload\nsystemctl restart {_TIMER}\n"
)
_AS_BEFORE = f"rm {_DROP_IN}\nsystemctl daemon-reload\nsystemctl restart {_TIMER}\n"


def drill(lab: Lab, scene: Scene, senders: Collection[str]) -> None:
    """Block port 25 for all, and require the alarm on each of the `senders`; nobody else looks.

    The lab must be sound; it is so again afterwards.
    """
    look = ["systemctl", "is-active", "--quiet", _TIMER]
    watchers = {host.name for host in scene.hosts if scene.run(host.name, look).code == 0}
    assert watchers == set(senders)
    _everywhere(scene, senders, _QUICKLY)
    try:
        lab.break_on_purpose(Faults(port_25=(EVERY_HOST,)))
        assert wait_for(lambda: set(_told(scene)) == set(senders), ALARM_LIMIT), _told(scene)
        for said in _told(scene).values():
            assert said.startswith("outbound port 25 is blocked: "), said
            assert "Ask AWS to lift it: https://" in said
    finally:
        lab.break_on_purpose(SOUND)
        mended = wait_for(lambda: not _told(scene), ALARM_LIMIT)
        _everywhere(scene, senders, _AS_BEFORE)
    assert mended, _told(scene)


def _everywhere(scene: Scene, hosts: Collection[str], script: str) -> None:
    for host in hosts:
        done = scene.run(host, ["sh", "-ec", script])
        assert done.code == 0, f"{host}: {done.err}"


def _told(scene: Scene) -> dict[str, str]:
    """What each host with an alarm says of port 25."""
    standing = alarms.standing(scene.deployment, [host.name for host in scene.hosts])
    return {host: said["port25"] for host, said in standing.items() if "port25" in said}
