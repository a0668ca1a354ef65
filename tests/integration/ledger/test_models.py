"""Models: numbers without gaps or doubles, aliases with their history, and nothing removed that is in use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from longshore.shared.errors import AttemptLost, InvalidInput, UnknownModel, VersionInUse
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import Claim
from longshore.shared.references import ModelReference
from tests.integration.support import claim, expire, new_job, run, submit, together, wait_for_lock
from tests.waiting import TIMEOUT_S


def new_version(model: str = "digits", alias: str | None = None) -> NewVersion:
    return NewVersion(model=model, digest="sha256:ab", manifest={"family": "mlp"}, alias=alias, set_by="ada")


def add(ledger: Ledger, model: str = "digits", alias: str | None = None) -> int:
    return ledger.models.add(new_version(model, alias), before_commit=lambda number: None)


def train(ledger: Ledger, of: Claim) -> int:
    """Commit a training attempt with its version."""
    with ledger.attempts.writing(of) as writer:
        writer.fence(0)
        number = writer.version(new_version(alias="production"))
        writer.finish({"version": number})
    return number


def resolve(ledger: Ledger, text: str) -> int:
    return ledger.models.resolve(ModelReference.parse(text)).version


def delete(ledger: Ledger, text: str) -> int:
    return ledger.models.delete([ModelReference.parse(text)], "ada")[0].version


def test_references_lead_to_versions(ledger: Ledger) -> None:
    assert [add(ledger), add(ledger, alias="production"), add(ledger), add(ledger, "letters")] == [1, 2, 3, 1]
    assert [resolve(ledger, text) for text in ("digits", "digits:1", "digits@production", "letters")] == [3, 1, 2, 1]
    found = ledger.models.resolve(ModelReference.parse("digits:1"))
    assert (found.digest, found.manifest, found.job_id) == ("sha256:ab", {"family": "mlp"}, None)

    digits, letters = ledger.models.names()
    assert (digits.name, digits.versions, digits.newest, digits.aliases) == ("digits", 3, 3, {"production": 2})
    assert (letters.name, letters.versions, letters.aliases) == ("letters", 1, {})
    versions = ledger.models.versions("digits")
    assert [(version.version, version.aliases) for version in versions] == [(1, []), (2, ["production"]), (3, [])]
    assert ledger.models.versions("nobody") == []
    for version in versions:
        assert ledger.models.get(ModelReference("digits", version.version)) == version
    assert ledger.models.get(ModelReference.parse("digits@production")).aliases == ["production"]


def test_what_does_not_exist_is_answered_with_what_does(ledger: Ledger) -> None:
    def message(text: str) -> str:
        with pytest.raises(UnknownModel) as caught:
            ledger.models.resolve(ModelReference.parse(text), "requests[7].model")
        assert caught.value.field == "requests[7].model"
        return caught.value.reason

    assert message("digits") == "there is no model 'digits'; no model has been trained or imported yet"
    add(ledger)
    add(ledger, alias="production")
    assert message("letters@best") == "there is no model 'letters'; the models are digits"
    add(ledger, "letters")
    ledger.models.delete([ModelReference("letters", 1)], by="me")
    assert message("numbers") == "there is no model 'numbers'; the models are digits"
    assert message("letters@best").startswith("letters has no version any more; ")
    assert message("digits:7") == "there is no digits:7; versions: 1 to 2; aliases: production"
    assert message("digits@best") == "there is no digits@best; versions: 1 to 2; aliases: production"


def test_versions_added_together_are_numbered_in_turn(ledger: Ledger) -> None:
    first_has_number, first_may_go_on = Event(), Event()

    def hold(number: int) -> None:
        first_has_number.set()
        assert first_may_go_on.wait(TIMEOUT_S)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ledger.models.add, new_version(), before_commit=hold)
        assert first_has_number.wait(TIMEOUT_S)
        second = pool.submit(add, ledger)
        other = pool.submit(add, ledger, "letters")
        wait_for_lock(ledger)
        assert other.result(TIMEOUT_S) == 1
        first_may_go_on.set()
        assert (first.result(TIMEOUT_S), second.result(TIMEOUT_S)) == (1, 2)


def test_a_version_that_is_taken_back_leaves_its_number_to_the_next(ledger: Ledger) -> None:
    add(ledger)

    def refuse(number: int) -> None:
        assert number == 2
        raise KeyError("the store is full")

    with pytest.raises(KeyError):
        ledger.models.add(new_version(alias="production"), before_commit=refuse)
    assert [version.version for version in ledger.models.versions("digits")] == [1]
    assert ledger.models.alias_history("digits", "production") == []
    assert add(ledger) == 2


def test_only_the_current_attempt_adds_its_version(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job(1, kind="train", version=None)])[0]
    lost = claim(ledger, job)
    expire(ledger, job)
    current = claim(ledger, job)
    assert train(ledger, current) == 1
    with pytest.raises(AttemptLost):
        train(ledger, lost)

    (version,) = ledger.models.versions("digits")
    assert (version.version, version.job_id, version.aliases) == (1, job, ["production"])
    assert ledger.queries.job(job).outcome == {"version": 1}


def test_every_move_of_an_alias_is_kept(ledger: Ledger) -> None:
    add(ledger, alias="production")
    add(ledger)
    promoted, _ = ledger.models.promote(ModelReference.parse("digits"), "production", "grace")
    assert (promoted.version, promoted.aliases) == (2, ["production"])
    assert ledger.models.promote(ModelReference.parse("digits:1"), "production", "ada")[0].version == 1

    history = ledger.models.alias_history("digits", "production")
    assert [(move.version, move.set_by) for move in history] == [(1, "ada"), (2, "grace"), (1, "ada")]
    assert resolve(ledger, "digits@production") == 1
    assert ledger.models.names()[0].aliases == {"production": 1}
    with pytest.raises(InvalidInput, match="alias"):
        ledger.models.promote(ModelReference.parse("digits"), "7", "ada")
    with pytest.raises(UnknownModel):
        ledger.models.promote(ModelReference.parse("digits:9"), "production", "ada")


def test_an_alias_is_taken_away_and_its_history_stays(ledger: Ledger) -> None:
    add(ledger, alias="production")
    add(ledger, alias="best")
    assert ledger.models.remove_alias("digits", "production", "grace").version == 1
    with pytest.raises(UnknownModel, match=r"there is no digits@production; versions: 1 to 2; aliases: best"):
        ledger.models.resolve(ModelReference.parse("digits@production"))
    with pytest.raises(UnknownModel, match="there is no digits@production"):
        ledger.models.remove_alias("digits", "production", "grace")
    assert ledger.models.names()[0].aliases == {"best": 2}
    assert [version.aliases for version in ledger.models.versions("digits")] == [[], ["best"]]
    assert delete(ledger, "digits:1") == 1

    ledger.models.promote(ModelReference.parse("digits:2"), "production", "ada")
    assert resolve(ledger, "digits@production") == 2
    history = ledger.models.alias_history("digits", "production")
    assert [(move.version, move.set_by) for move in history] == [(1, "ada"), (None, "grace"), (2, "ada")]


def test_an_alias_is_taken_away_once_however_many_ask(ledger: Ledger) -> None:
    add(ledger, alias="production")

    def remove() -> int:
        try:
            return ledger.models.remove_alias("digits", "production", "ada").version
        except UnknownModel:
            return 0

    assert set(together(remove, remove, remove)) <= {0, 1}
    with pytest.raises(UnknownModel):
        resolve(ledger, "digits@production")


def test_a_version_in_use_cannot_be_deleted(ledger: Ledger) -> None:
    add(ledger, alias="production")
    add(ledger)
    for text in ("digits", "digits@production"):
        with pytest.raises(InvalidInput, match="name the version to delete, as in digits:3"):
            delete(ledger, text)
    with pytest.raises(InvalidInput, match="digits:1 is in use: production points at it"):
        delete(ledger, "digits:1")
    ledger.models.promote(ModelReference.parse("digits:2"), "production", "ada")
    job = submit(ledger, 1)
    with pytest.raises(VersionInUse, match=f"digits:1 is in use: job {job} is queued .*longshore jobs cancel"):
        delete(ledger, "digits:1")

    run(ledger, job)
    assert delete(ledger, "digits:1") == 1
    with pytest.raises(UnknownModel):
        delete(ledger, "digits:1")
    assert [version.version for version in ledger.models.versions("digits")] == [2]


def test_a_deleted_number_is_never_given_out_again(ledger: Ledger) -> None:
    add(ledger)
    add(ledger)
    delete(ledger, "digits:2")
    assert resolve(ledger, "digits") == 1
    assert add(ledger) == 3
