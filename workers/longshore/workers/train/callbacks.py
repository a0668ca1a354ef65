"""The functions that a training calls while it runs."""

from __future__ import annotations

from collections.abc import Callable

#: Called after each epoch with its number, from 1, and its metrics by name, all of them finite.
Report = Callable[[int, dict[str, float]], None]
#: Called between batches; raises an error to stop the training.
Check = Callable[[], None]
