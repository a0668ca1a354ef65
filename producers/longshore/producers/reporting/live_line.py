"""The line that shows a job while somebody waits for it, cut to the width of the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.producers.reporting.best_epoch import BestEpoch
from longshore.producers.reporting.human import time_text
from longshore.producers.reporting.progress import Progress, rate_text, unit
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State

GAP = "  "
#: The widths of the bar and of the name of the job, in characters: the least, and the most.
MIN_BAR, MAX_BAR = 8, 40
#: The bar grows and shrinks by so many characters: it does not move whenever the time left has a digit more or less.
BAR_STEP = 4
#: The width of the bar before anything of lower importance gets room.
GOOD_BAR = 16
MIN_NAME = 10
_STATE_STYLES = {
    State.RUNNING: "cyan",
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.CANCELLED: "yellow",
}


@dataclass(frozen=True)
class StyledText:
    """A piece of the line, and its style as rich writes it."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class LiveLine:
    """What the line says."""

    #: ``train digits``.
    name: str
    state: State
    #: 0 to 1.
    fraction: float
    #: ``7/40 epochs``.
    count: str
    #: ``3m 20s left``; empty if unknown.
    remaining: str
    #: ``12 rows/s``; empty if unknown.
    rate: str
    #: ``val_loss 0.35``, or ``1,204 tokens/s out``, each.
    metrics: tuple[str, ...] = ()

    def spans(self, width: int, *, ascii_only: bool = False) -> list[StyledText]:
        """The line in at most ``width`` characters.

        The bar, the count, the state and the time left are always there. If there is no room, metrics go first, then
        the rate, then the end of the name.

        :param ascii_only: the terminal has no other characters.
        """
        fixed = [text for text in (self.count, self.state, self.remaining) if text]
        room = width - sum(len(GAP) + len(text) for text in fixed) - MIN_BAR
        name_room = room - len(GAP)
        name = self.name if len(self.name) <= name_room else self.name[: max(name_room - 1, 0)] + "…"
        name = name if name_room >= min(MIN_NAME, len(self.name)) else ""
        room -= len(name) + len(GAP) if name else 0
        bar = MIN_BAR + max(min(room, GOOD_BAR - MIN_BAR), 0)
        room -= bar - MIN_BAR
        extras: list[StyledText] = []
        for text, style in ((self.rate, ""), *((metric, "cyan") for metric in self.metrics)):
            if text and len(GAP) + len(text) > room:
                break
            if text:
                extras.append(StyledText(text, style))
                room -= len(GAP) + len(text)
        bar += max(min(room, MAX_BAR - bar), 0)
        bar -= (bar - MIN_BAR) % BAR_STEP
        spans = [StyledText(name)] if name else []
        done = round(self.fraction * bar)
        full, empty = ("#", "-") if ascii_only else ("━", "─")
        joined = [StyledText(full * done, _STATE_STYLES.get(self.state, "")), StyledText(empty * (bar - done), "dim")]
        rest = [
            StyledText(self.count),
            StyledText(self.state, _STATE_STYLES.get(self.state, "")),
            StyledText(self.remaining),
            *extras,
        ]
        for piece in (joined, *([span] for span in rest if span.text)):
            spans += [StyledText(GAP), *piece] if spans else piece
        return spans


def live_line(
    record: JobRecord, progress: Progress, metrics: Mapping[str, float], best: BestEpoch | None = None
) -> LiveLine:
    """What is shown of a job.

    :param progress: with the rate over the last seconds.
    :param metrics: the latest value of each metric, by name.
    :param best: the best epoch of a training so far.
    """
    total = "?" if progress.total is None else f"{progress.total:,}"
    tokens = progress.token_rates
    name = record.model if record.version is None else f"{record.model}:{record.version}"
    return LiveLine(
        name=f"{record.kind} {name}",
        state=record.state,
        fraction=progress.fraction,
        count=f"{progress.done:,}/{total} {unit(record.kind)}",
        remaining="" if progress.remaining is None else f"{time_text(progress.remaining)} left",
        rate=rate_text(progress.rate, record.kind),
        metrics=(
            # Only if it was an earlier one: then more epochs may be in vain.
            *(() if best is None or best.is_last else (f"best epoch {best.epoch}",)),
            *(f"{name} {value:.4g}" for name, value in metrics.items()),
            *(() if tokens is None else str(tokens).split(", ")),
        ),
    )
