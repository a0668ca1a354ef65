"""A signal may come at any instruction of a wait; its handler sets the event."""

import subprocess
import sys
import threading

from longshore.shared.signal_event import SignalEvent

#: Sets an event by a signal, at one instruction of a wait after another, in this module's code and in what it calls.
AT_EACH_INSTRUCTION = """
import signal, sys
from types import FrameType
from longshore.shared.signal_event import SignalEvent

event = SignalEvent()
signal.signal(signal.SIGUSR1, lambda *_: event.set())
left = 0

def trace(frame: FrameType, kind: str, argument: object):
    global left
    frame.f_trace_opcodes = True
    if kind == "opcode":
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGUSR1)
    return trace

for number in range(1, 1000):
    event, left = SignalEvent(), number
    sys.settrace(trace)
    event.wait(0.0001)
    sys.settrace(None)
    if left > 0:
        break
    assert event.is_set() and event.wait(0.0), number
print(number)
"""


def test_a_signal_at_any_instruction_of_a_wait_ends_it() -> None:
    command = [sys.executable, "-c", AT_EACH_INSTRUCTION]
    tried = int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert 10 < tried < 999


def test_all_threads_that_wait_are_woken() -> None:
    event = SignalEvent()
    ended: list[bool] = []
    threads = [threading.Thread(target=lambda: ended.append(event.wait(60.0))) for _ in range(5)]
    for thread in threads:
        thread.start()
    event.set()
    for thread in threads:
        thread.join(60.0)
    assert ended == [True] * 5
    assert event.wait(60.0)


def test_a_wait_ends_without_it() -> None:
    event = SignalEvent()
    assert not event.wait(0.001)
    assert not event.wait(-1.0)
    assert not event.is_set()
