"""Finds programs whose outputs depend on chance, or on the other rows of a batch.

Such a program gives other numbers whenever rows are batched in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from longshore.workers.models.error_kinds import reason

#: Rows of a trial batch. Small, since this runs whenever a version is loaded.
_ROWS = 6
#: Rows of a trial window: a batch, and as many other rows.
TRIAL_ROWS = 2 * _ROWS
#: Runs of the same batch. Random numbers that rarely show need several.
_REPEATS = 3
#: Largest difference between equal outputs, as a part of the largest output: batches of other sizes round differently.
_TOLERANCE = 1e-3
_SEED = 20_240_601

#: Computes some rows of a trial window: their indexes, int64 ``(k,)``, to ``(k, outputs)``.
Forward = Callable[[torch.Tensor], torch.Tensor]
#: ``random``: the same batch gives different outputs. ``mixed``: other rows change the outputs of a row.
RowEffect = Literal["independent", "random", "mixed"]

#: For ``job.notes``, the same text in every window.
ALONE_NOTE = (
    "the outputs of a row change with the other rows of its batch, because the program combines rows; each row is run "
    "on its own, which is slow"
)
RANDOM_REASON = (
    "gives different outputs for the same rows: it draws random numbers or runs in training mode; call network.eval() "
    "before the export, and export it without random operators"
)


@dataclass(frozen=True)
class RowCheck:
    """What the trial rows show."""

    #: ``None`` if the program fails on all of them.
    effect: RowEffect | None
    #: Outputs for trial rows: ``(n, outputs)`` of a window each, on the CPU.
    outputs: tuple[torch.Tensor, ...]
    #: Why the program fails on the last window on which it does.
    failure: str | None

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the owner of a job."""
        if self.effect is None:
            return (
                "the program fails on trial rows, so it is not known whether the outputs of a row depend on the other "
                f"rows: {self.failure}",
            )
        return (ALONE_NOTE,) if self.effect == "mixed" else ()


def check_rows(windows: Iterable[Forward]) -> RowCheck:
    """Run a program on a few rows alone, together, twice, in another order, and among other rows.

    :param windows: :data:`TRIAL_ROWS` rows each. Those on which the program fails are left out.
    """
    effect: RowEffect | None = None
    outputs, failure = [], None
    for forward in windows:
        try:
            found, together = _effect(forward)
        except Exception as error:  # not made for such rows, which real ones report
            failure = reason(error)
            continue
        outputs.append(together.cpu())
        effect = found if effect is None or found != "independent" else effect
        if effect == "random":
            break
    return RowCheck(effect, tuple(outputs), failure)


def trial_matrices(width: int, *, ids_only: bool) -> Iterator[torch.Tensor]:
    """Rows for windows: float32 ``(TRIAL_ROWS, width)``.

    :param ids_only: only rows of 0 and 1, which are valid as indexes.
    """
    generator = torch.Generator().manual_seed(_SEED)
    if not ids_only:
        yield torch.randn((TRIAL_ROWS, width), generator=generator)
    yield torch.randint(0, 2, (TRIAL_ROWS, width), generator=generator).float()


def _effect(forward: Forward) -> tuple[RowEffect, torch.Tensor]:
    batch, others = torch.arange(_ROWS), torch.arange(_ROWS, TRIAL_ROWS)
    with torch.inference_mode():
        together = forward(batch).float()
        if not all(_equal(forward(batch).float(), together) for _ in range(_REPEATS)):
            return "random", together
        half = _ROWS // 2
        independent = (
            _equal(forward(batch.flip(0)).float(), together.flip(0))
            and _equal(forward(torch.cat([batch[:half], others])).float()[:half], together[:half])
            and _equal(torch.cat([forward(row).float() for row in torch.split(batch, 1)]), together)
        )
    return "independent" if independent else "mixed", together


def _equal(outputs: torch.Tensor, expected: torch.Tensor) -> bool:
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if len(finite) else 0.0
    return torch.allclose(outputs, expected, rtol=0, atol=_TOLERANCE * scale, equal_nan=True)
