"""The advisory locks of a database, so that no two uses take the same number."""

from __future__ import annotations

#: Held while migrations run.
MIGRATION_LOCK = 0x4C4F4E47_0001
#: Held by the one relay that leads.
RELAY_LOCK = 0x4C4F4E47_0002
#: Held by the one prune that removes old results.
PRUNE_LOCK = 0x4C4F4E47_0003
