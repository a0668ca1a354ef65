"""The queues, one for each class of device."""

from __future__ import annotations

QUEUES = ("cpu", "gpu")
