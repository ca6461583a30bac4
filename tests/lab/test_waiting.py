"""What waiting tells."""

from __future__ import annotations

from lab.waiting import wait_for


def test_the_answer_is_what_was_seen_when_it_came_true() -> None:
    answers = [[], ["first"], ["second"]]
    assert wait_for(lambda: answers.pop(0), 5) == ["first"]
    assert answers == [["second"]]


def test_what_does_not_come_true_is_told_as_it_was_last() -> None:
    asked = []
    assert wait_for(lambda: asked.append(1) or 0, 0.1, 0.02) == 0
    assert len(asked) > 1


def test_a_condition_is_asked_once_though_there_is_no_time() -> None:
    assert wait_for(lambda: "seen", 0) == "seen"
