"""A cluster that scales: hundreds of workers that do not exist any more."""

from __future__ import annotations

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.workers import Presence
from longshore.shared.settings import Settings
from tests.integration.command_line import CommandLine, without_settings

SILENT = 500


def presence(name: str, *, families: tuple[str, ...] = ("mlp",)) -> Presence:
    return Presence(name=name, device="cpu:0", queue="cpu", host=name, pid=1, families=list(families))


@pytest.fixture
def scaled(ledger: Ledger) -> Ledger:
    """One worker at work, and many that were last seen one to 500 minutes ago."""
    for number in range(SILENT):
        ledger.workers.see(presence(f"pod-{number:03}"))
    with ledger.database.connection() as conn:
        conn.execute("""UPDATE workers SET seen_at = now() - (substring(name from 5)::int + 1) * interval '1 minute'""")
    ledger.workers.see(presence("pod-at-work"))
    return ledger


def test_status_and_doctor_stay_short(services: Settings, scaled: Ledger) -> None:
    command_line = CommandLine({**without_settings(), **services.environment()})
    status = command_line("status")
    assert status.code == 0
    assert len(status.out.splitlines()) < 40
    assert "pod-at-work" in status.out
    assert "pod-000" in status.out
    assert f"and {SILENT - 5} more that are silent" in status.out
    # Programs get all of them.
    workers = command_line("status", "--json").fields["workers"]
    assert isinstance(workers, list)
    assert len(workers) == SILENT + 1
    scaled.workers.see(presence("pod-at-work"))  # the commands before may have taken long
    [line] = [line for line in command_line("doctor").out.splitlines() if line.startswith("workers")]
    assert line.endswith(f"and {SILENT - 5} more")


def test_those_that_are_gone_for_a_day_are_forgotten(scaled: Ledger) -> None:
    scaled.workers.see(presence("pod-special", families=("own",)))
    with scaled.database.connection() as conn:
        conn.execute("UPDATE workers SET seen_at = seen_at - interval '1 day' WHERE name <> 'pod-at-work'")
    scaled.workers.forget_silent()
    # The last one with a family stays, so that the family stays known.
    assert [worker.name for worker in scaled.workers.workers()] == ["pod-at-work", "pod-special"]
    assert scaled.workers.families() == {"mlp", "own"}
