"""Finds programs whose outputs depend on chance, or on the other rows of a batch.

Such a program gives other numbers whenever rows are batched in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch

#: Rows of a trial batch. Small, since this runs whenever a version is loaded.
_ROWS = 6
#: Runs of the same batch. Random numbers that rarely show need several.
_REPEATS = 3
#: Largest difference between equal outputs, as a part of the largest output: batches of other sizes round differently.
_TOLERANCE = 1e-3
_SEED = 20_240_601

Network = Callable[[torch.Tensor], torch.Tensor]
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


def check_rows(network: Network, width: int, device: torch.device, *, ids_only: bool = False) -> RowEffect:
    """Run a program on a few rows alone, together, twice, in another order, and among other rows.

    :param network: float32 ``(n, width)`` to ``(n, outputs)``. Rows on which it fails are left out.
    :param ids_only: use only rows of 0 and 1, which are valid as indexes.
    """
    effect: RowEffect = "independent"
    for rows in _trial_rows(width, ids_only=ids_only):
        try:
            found = _effect(network, rows.to(device))
        except Exception:  # not made for such rows, which real ones report
            continue
        if found == "random":
            return "random"
        effect = found if found == "mixed" else effect
    return effect


def _trial_rows(width: int, *, ids_only: bool) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(_SEED)
    if not ids_only:
        yield torch.randn((2 * _ROWS, width), generator=generator)
    yield torch.randint(0, 2, (2 * _ROWS, width), generator=generator).float()


def _effect(network: Network, rows: torch.Tensor) -> RowEffect:
    batch, others = rows[:_ROWS], rows[_ROWS:]
    with torch.inference_mode():
        together = network(batch).float()
        if not all(_equal(network(batch).float(), together) for _ in range(_REPEATS)):
            return "random"
        order = torch.arange(_ROWS - 1, -1, -1, device=batch.device)
        half = _ROWS // 2
        independent = (
            _equal(network(batch[order]).float(), together[order])
            and _equal(network(torch.cat([batch[:half], others])).float()[:half], together[:half])
            and _equal(torch.cat([network(row).float() for row in torch.split(batch, 1)]), together)
        )
    return "independent" if independent else "mixed"


def _equal(outputs: torch.Tensor, expected: torch.Tensor) -> bool:
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if len(finite) else 0.0
    return torch.allclose(outputs, expected, rtol=0, atol=_TOLERANCE * scale, equal_nan=True)
