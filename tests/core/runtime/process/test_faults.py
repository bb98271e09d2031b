"""A model is given up after some faults within a while, with a reason, and tried again later."""

from __future__ import annotations

from modelpool.core.runtime.process.faults import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_opens_once_at_the_limit_and_says_why() -> None:
    breaker = Breaker(3, now=Clock())
    assert [breaker.record_fault("its process crashed") for _ in range(4)] == [False, False, True, False]
    assert breaker.reason is not None
    assert "its process crashed" in breaker.reason
    assert breaker.wait_s > 0


def test_rare_faults_never_open_it() -> None:
    clock = Clock()
    breaker = Breaker(3, window_s=10, now=clock)
    for _ in range(20):
        assert not breaker.record_fault("it crashed")
        clock.now += 6
    assert breaker.reason is None


def test_one_attempt_later_decides() -> None:
    clock = Clock()
    breaker = Breaker(1, open_s=60, now=clock)
    assert breaker.record_fault("it crashed")
    clock.now += 61
    assert breaker.wait_s == 0
    breaker.record_fault("it crashed again")
    assert breaker.wait_s == 60
    clock.now += 61
    breaker.record_answer()
    assert (breaker.reason, breaker.wait_s) == (None, 0.0)


def test_good_answers_between_do_not_hide_faults() -> None:
    breaker = Breaker(3, now=Clock())
    for _ in range(2):
        breaker.record_fault("it crashed")
        breaker.record_answer()
    assert breaker.record_fault("it crashed")
