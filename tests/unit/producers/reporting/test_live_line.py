"""What stays of the line on a narrow terminal."""

from __future__ import annotations

import pytest

from longshore.producers.reporting.live_line import LiveLine
from longshore.shared.vocabulary import State

LINE = LiveLine(
    name="train sentiment-of-reviews",
    state=State.RUNNING,
    fraction=0.25,
    count="10/40 epochs",
    remaining="3m 20s left",
    rate="0.15 epochs/s",
    metrics=("train_loss 0.3122", "val_loss 0.3541", "val_accuracy 0.8912"),
)


def shown(width: int, *, ascii_only: bool = False) -> str:
    return "".join(span.text for span in LINE.spans(width, ascii_only=ascii_only))


@pytest.mark.parametrize("width", range(44, 200))
def test_count_bar_state_and_time_left_always_fit(width: int) -> None:
    text = shown(width)
    assert len(text) <= width
    for part in ("10/40 epochs", "━━──", "running", "3m 20s left"):
        assert part in text


def test_metrics_go_first_then_the_rate_then_the_name() -> None:
    parts = ["train sentiment-of-reviews", "0.15 epochs/s", *LINE.metrics]
    kept = [sum(part in shown(width) for part in parts) for width in range(44, 200)]
    assert kept == sorted(kept)
    assert kept[-1] == len(parts)
    for width in range(44, 200):
        present = [part in shown(width) for part in parts]
        assert present == sorted(present, reverse=True)
    assert "train sentime…  " in shown(60)


def test_a_terminal_without_other_characters_has_an_ascii_bar() -> None:
    assert "##------" in shown(60, ascii_only=True)
