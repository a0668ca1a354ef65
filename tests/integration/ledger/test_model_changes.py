"""The history of a model, moves back, and deletions that meet submissions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Barrier, Event

import psycopg
import pytest
from pydantic import JsonValue

from longshore.shared.errors import AliasMoved, InvalidInput, UnknownModel, VersionInUse
from longshore.shared.fault_point import armed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import NewJob
from longshore.shared.references import ModelReference
from longshore.shared.settings import Settings
from tests.integration.support import claim, new_job, run, submit, together, wait_for_lock
from tests.waiting import TIMEOUT_S

DIGEST = f"sha256:{1:064x}"


def add(ledger: Ledger, number: int = 1, model: str = "digits", **lineage: JsonValue) -> int:
    """Add a version whose digest is that of jobs which run its number."""
    blob: dict[str, JsonValue] = {"digest": f"sha256:{number:064d}", "size": 100 * number}
    shared: dict[str, JsonValue] = {"digest": "sha256:tokenizer", "size": 7}
    manifest: dict[str, JsonValue] = {"weights": blob, "tokenizer": shared, "lineage": {"spec": lineage}}
    new = NewVersion(model=model, digest=f"sha256:{number:064x}", manifest=manifest, set_by="ada")
    return ledger.models.add(new, before_commit=lambda number: None)


def promote(ledger: Ledger, number: int, alias: str = "production", by: str = "ada") -> None:
    ledger.models.promote(ModelReference("digits", number), alias, by)


def delete(ledger: Ledger, *numbers: int, force: bool = False, dry_run: bool = False) -> list[int]:
    references = [ModelReference("digits", number) for number in numbers]
    return [version.version for version in ledger.models.delete(references, "grace", force=force, dry_run=dry_run)]


def moves(ledger: Ledger) -> list[tuple[str, str | None, int | None, int | None, str]]:
    history = ledger.models.history("digits")
    return [(change.action, change.alias, change.previous, change.version, change.set_by) for change in history]


@pytest.fixture
def three(ledger: Ledger) -> Ledger:
    """``digits`` with three versions, of which each was in production."""
    for number in (1, 2, 3):
        add(ledger, number)
        promote(ledger, number)
    return ledger


def test_the_history_has_moves_removals_and_deletions(three: Ledger) -> None:
    three.models.roll_back("digits", "production", "grace")
    three.models.remove_alias("digits", "production", "ada")
    delete(three, 3)
    assert moves(three) == [
        ("moved", "production", None, 1, "ada"),
        ("moved", "production", 1, 2, "ada"),
        ("moved", "production", 2, 3, "ada"),
        ("rolled back", "production", 3, 2, "grace"),
        ("removed", "production", 2, None, "ada"),
        ("deleted", None, None, 3, "grace"),
    ]
    assert [change.version for change in three.models.alias_history("digits", "production")] == [1, 2, 3, 2, None]


def test_the_history_names_the_job_and_the_condition(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job(1, kind="train", version=None)])[0]
    training = claim(ledger, job)
    with ledger.attempts.writing(training) as writer:
        writer.fence(0)
        manifest: dict[str, JsonValue] = {"metrics": {"accuracy": 0.98}}
        new = NewVersion(model="digits", digest=DIGEST, manifest=manifest, alias="best", promote_if="accuracy >= 0.97")
        writer.version(replace(new, set_by="ada"))
        writer.finish()
    (change,) = ledger.models.history("digits")
    assert (change.job_id, change.set_by) == (job, "ada")
    assert change.gate == {
        "condition": "accuracy >= 0.97",
        "parts": [{"text": "accuracy >= 0.97", "holds": True, "said": "accuracy 0.98 >= 0.97"}],
    }


def test_what_processes_of_the_release_before_do_is_recorded(ledger: Ledger) -> None:
    add(ledger)
    job = new_job(1, kind="train", version=None).id
    with ledger.database.transaction() as conn:  # a training, which knows neither the job nor the gate of a move
        conn.execute(
            "INSERT INTO model_versions (model, version, digest, manifest, job_id) VALUES ('digits', 2, 'd', %s, %s)",
            ['{"files": {"a/b": {"digest": "sha256:ab", "size": 5}}}', job],
        )
        conn.execute("INSERT INTO model_aliases (model, alias, version, set_by) VALUES ('digits', 'old', 2, 'jo')")
    with ledger.database.connection() as conn:
        conn.execute("DELETE FROM model_versions WHERE model = 'digits' AND version = 1")
    moved, deleted = ledger.models.history("digits")
    assert (moved.action, moved.set_by, moved.job_id) == ("moved", "jo", job)
    assert (deleted.action, deleted.version) == ("deleted", 1)
    assert ledger.models.get(ModelReference("digits", 2)).size_bytes == 5


def test_a_second_rollback_undoes_the_first(three: Ledger) -> None:
    first = three.models.roll_back("digits", "production", "ada")
    assert (first.previous, first.version) == (3, 2)
    second = three.models.roll_back("digits", "production", "ada")
    assert (second.previous, second.version) == (2, 3)
    back = three.models.roll_back("digits", "production", "ada", to=1)
    assert (back.previous, back.version) == (3, 1)
    assert three.models.resolve(ModelReference("digits", alias="production")).version == 1


def test_a_dry_run_moves_nothing(three: Ledger) -> None:
    before = moves(three)
    assert three.models.roll_back("digits", "production", "ada", dry_run=True).version == 2
    assert delete(three, 1, dry_run=True) == [1]
    assert moves(three) == before


def test_a_removed_alias_comes_back(three: Ledger) -> None:
    three.models.remove_alias("digits", "production", "ada")
    back = three.models.roll_back("digits", "production", "ada")
    assert (back.previous, back.version) == (None, 3)


def test_a_rollback_without_a_version_to_go_to_is_refused(three: Ledger) -> None:
    promote(three, 2, "canary")
    with pytest.raises(InvalidInput, match="digits@canary has pointed at no version but 2"):
        three.models.roll_back("digits", "canary", "ada")
    with pytest.raises(UnknownModel, match="there is no digits@best"):
        three.models.roll_back("digits", "best", "ada")
    with pytest.raises(InvalidInput, match="to: digits@production points at version 3 already"):
        three.models.roll_back("digits", "production", "ada", to=3)
    with pytest.raises(InvalidInput, match="never pointed at version 9, but at: 1, 2; `longshore models promote"):
        three.models.roll_back("digits", "production", "ada", to=9)
    three.models.remove_alias("digits", "canary", "ada")
    delete(three, 2)
    with pytest.raises(InvalidInput, match="digits:2, to which digits@production would go back, was deleted; name"):
        three.models.roll_back("digits", "production", "ada")
    assert three.models.roll_back("digits", "production", "ada", to=1).version == 1


def test_of_a_rollback_and_a_promotion_in_the_same_moment_none_is_lost(three: Ledger) -> None:
    def promote_meanwhile(name: str) -> None:
        if name == "models:rollback_planned":
            promote(three, 1, by="jo")

    with armed(promote_meanwhile), pytest.raises(AliasMoved, match="was moved to version 1 by jo in the same moment"):
        three.models.roll_back("digits", "production", "ada")
    assert moves(three)[-1] == ("moved", "production", 3, 1, "jo")


def test_of_several_rollbacks_of_the_same_move_one_takes_effect(three: Ledger) -> None:
    planned = Barrier(2)

    def meet(name: str) -> None:
        if name == "models:rollback_planned":
            planned.wait(TIMEOUT_S)

    def roll_back() -> int | None:
        try:
            return three.models.roll_back("digits", "production", "ada").version
        except AliasMoved:
            return None

    with armed(meet):
        assert sorted(together(roll_back, roll_back), key=str) == [2, None]
    assert len(moves(three)) == 4


def test_everything_that_uses_a_version_is_named(ledger: Ledger) -> None:
    add(ledger)
    add(ledger, 2, base_digest=DIGEST)
    add(ledger, 3, teacher_digest=DIGEST)
    add(ledger, 4, tokenizer_digest=DIGEST)
    promote(ledger, 1)
    queued = submit(ledger, 1)
    training = replace(new_job(1, kind="train", version=None), spec=f'{{"base_digest": "{DIGEST}"}}')
    search = replace(new_job(1, kind="tune", version=None), spec=f'{{"train": {{"teacher_digest": "{DIGEST}"}}}}')
    texts = replace(new_job(1, kind="train", version=None), spec=f'{{"tokenizer_digest": "{DIGEST}"}}')
    ledger.submissions.submit([training, search, texts])
    done = submit(ledger, 1)
    run(ledger, done)
    waiting = new_job(1, version=None, depends_on=done)
    ledger.submissions.submit([waiting])
    with pytest.raises(VersionInUse) as caught:
        delete(ledger, 1)
    for text in (
        *("production points at it", f"{queued} is queued", f"{training.id} is queued", f"{search.id} is queued"),
        *(f"{texts.id} is queued", f"{waiting.id} is waiting", "longshore jobs cancel"),
        *("digits:2, digits:3, digits:4 trained from it", "--force"),
    ):
        assert text in caught.value.reason

    ledger.models.remove_alias("digits", "production", "ada")
    for job in (waiting.id, queued, training.id, search.id, texts.id):
        ledger.control.cancel(job)
    with pytest.raises(VersionInUse, match="digits:1 is in use: digits:2, digits:3, digits:4 trained from it"):
        delete(ledger, 1)
    assert delete(ledger, 1, 2, 3, 4) == [1, 2, 3, 4]


def test_a_version_that_others_were_trained_from_can_be_deleted_by_force(ledger: Ledger) -> None:
    add(ledger)
    add(ledger, 2, base_digest=DIGEST)
    assert delete(ledger, 1, force=True) == [1]


def test_of_several_versions_all_are_deleted_or_none(three: Ledger) -> None:
    with pytest.raises(VersionInUse, match="digits:3 is in use: production points at it"):
        delete(three, 1, 3)
    assert [version.version for version in three.models.versions("digits")] == [1, 2, 3]
    with pytest.raises(UnknownModel, match="there is no digits:9"):
        delete(three, 1, 9)
    assert delete(three, 1, 2, 2) == [1, 2]


@contextmanager
def held_at(name: str, step: Callable[[], object]) -> Iterator[Future[object]]:
    """Meanwhile a step is stopped at a fault point, which it has reached."""
    reached, go_on = Event(), Event()

    def stop(passed: str) -> None:
        if passed == name and not reached.is_set():
            reached.set()
            assert go_on.wait(TIMEOUT_S)

    with armed(stop), ThreadPoolExecutor(1) as pool:
        future = pool.submit(step)
        try:
            assert reached.wait(TIMEOUT_S)
            yield future
        finally:
            go_on.set()


@pytest.mark.parametrize(
    "job",
    [new_job(1, 1), replace(new_job(1, 1, kind="train", version=None), spec=f'{{"base_digest": "{DIGEST}"}}')],
    ids=["inference", "training"],
)
def test_a_job_that_was_submitted_first_keeps_its_version(ledger: Ledger, job: NewJob) -> None:
    add(ledger)
    with ThreadPoolExecutor(1) as pool:
        with held_at("ledger:before_commit", lambda: ledger.submissions.submit([job])) as submitted:
            deletion = pool.submit(delete, ledger, 1)
            wait_for_lock(ledger)
        assert submitted.result(TIMEOUT_S)
        with pytest.raises(VersionInUse, match=str(job.id)):
            deletion.result(TIMEOUT_S)
    assert ledger.models.resolve(ModelReference("digits", 1)).version == 1


@pytest.mark.parametrize(
    "job",
    [
        *(new_job(1), new_job(1, 1)),
        replace(new_job(1, kind="train", version=None), spec=f'{{"base_digest": "{DIGEST}"}}'),
        replace(new_job(1, kind="train", version=None), spec=f'{{"tokenizer_digest": "{DIGEST}"}}'),
    ],
    ids=["small", "inference", "training", "tokenizer"],
)
def test_a_job_that_is_submitted_during_a_deletion_is_refused(ledger: Ledger, job: NewJob) -> None:
    add(ledger)
    with ThreadPoolExecutor(1) as pool:
        with held_at("ledger:before_commit", lambda: delete(ledger, 1)) as deletion:
            submission = pool.submit(ledger.submissions.submit, [job])
            wait_for_lock(ledger)
        assert deletion.result(TIMEOUT_S) == [1]
        with pytest.raises(UnknownModel, match=r"digits:1 was deleted by grace at \d{4}-.* UTC"):
            submission.result(TIMEOUT_S)
    assert ledger.queries.jobs() == []
    with pytest.raises(UnknownModel, match="was deleted"):
        ledger.submissions.submit([job])


def test_a_client_of_the_release_before_cannot_delete_what_a_job_uses(ledger: Ledger, services: Settings) -> None:
    add(ledger)
    job = submit(ledger, 1)
    with psycopg.connect(services.database_url) as conn, pytest.raises(psycopg.Error, match=str(job)):
        conn.execute("DELETE FROM model_versions WHERE model = 'digits' AND version = 1")


def test_a_deleted_version_is_told_apart_from_one_that_never_was(ledger: Ledger) -> None:
    for number in (1, 2):
        add(ledger, number)
    delete(ledger, 1)
    with pytest.raises(UnknownModel, match=r"digits:1 was deleted by grace at .* UTC; versions: 2; aliases: none"):
        ledger.models.resolve(ModelReference("digits", 1))
    assert (ledger.models.is_deleted("digits", 1), ledger.models.is_deleted("digits", 2)) == (True, False)


def test_sizes_count_a_file_once_and_say_what_is_shared(ledger: Ledger) -> None:
    add(ledger, 1)
    add(ledger, 2)
    add(ledger, 3, "letters")
    sizes = [(version.size_bytes, version.shared_bytes) for version in ledger.models.versions("digits")]
    assert sizes == [(107, 7), (207, 7)]
    assert [(model.size_bytes, model.shared_bytes) for model in ledger.models.names()] == [(307, 7), (307, 7)]
    found = ledger.models.get(ModelReference("digits", 2))
    assert (found.size_bytes, found.shared_bytes) == (207, 7)
