from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from longshore.broker.embedded.process.signals import Stopped, StopSignals

#: Seconds: a wait that is not ended by a signal fails by the timeout of pytest.
LONGER_THAN_A_TEST_S = 3600


def test_sigterm_ends_a_wait_and_is_not_lost_before_one() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop:
        assert not stop.requested
        stop.pause(0)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            stop.pause(LONGER_THAN_A_TEST_S)
        assert not stop.hard
        os.kill(os.getpid(), signal.SIGTERM)
        assert not stop.hard
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_ctrl_c_is_hard() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.requested, stop.hard) == (True, False)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.hard


def test_the_end_of_a_child_ends_a_wait_but_asks_for_nothing() -> None:
    with StopSignals() as stop:
        with subprocess.Popen([sys.executable, "-c", ""]):
            stop.wait(LONGER_THAN_A_TEST_S)
        assert not stop.requested
