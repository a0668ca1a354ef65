"""What rank 0 reports, read while it grows."""

from __future__ import annotations

from pathlib import Path

from longshore.workers.train.distributed.events import Event, Listener, Teller


def test_events_are_read_once_and_to_the_same_bits(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    assert list(listener.new()) == []
    teller = Teller(tmp_path)
    teller.step(7, {"step/loss": 0.1 + 0.2})
    teller.epoch(1, {"train_loss": 1e-300, "val_loss": 2.0})
    found = [Event("step", 7, {"step/loss": 0.1 + 0.2}), Event("epoch", 1, {"train_loss": 1e-300, "val_loss": 2.0})]
    assert list(listener.new()) == found
    assert list(listener.new()) == []
    teller.epoch(2, {})
    assert list(listener.new()) == [Event("epoch", 2, {})]


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    with (tmp_path / "events").open("wb", buffering=0) as file:
        file.write(b'{"what": "epoch", "number": 1, ')
        assert list(listener.new()) == []
        file.write(b'"metrics": {}}\n')
        assert list(listener.new()) == [Event("epoch", 1, {})]
