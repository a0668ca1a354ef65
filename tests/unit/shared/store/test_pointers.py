from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.store.pointers import AliasChange, AliasPointer
from longshore.shared.store.store import Store

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_all_versions_can_be_listed_from_the_store_alone(store: Store, url: str) -> None:
    for name, version, digest in [("b/c", 2, TWO), ("a", 10, ONE), ("a", 9, TWO), ("b", 1, ONE)]:
        store.write_version_pointer(name, version, digest)
    store.write_alias_pointer("only-alias", "x", 1)
    expected = [("a", 9, TWO), ("a", 10, ONE), ("b", 1, ONE), ("b/c", 2, TWO)]
    assert list(Store(url).list_versions()) == expected


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.list_versions()) == []
    assert list(store.list_aliases()) == []


def test_what_a_lost_attempt_left_is_replaced(store: Store) -> None:
    # The pointer is written before the ledger's transaction commits, and the number is given out again if it does not.
    store.write_version_pointer("digits", 1, ONE)
    store.write_version_pointer("digits", 1, TWO)
    assert list(store.list_versions()) == [("digits", 1, TWO)]


def test_a_deleted_version_is_gone(store: Store) -> None:
    store.write_version_pointer("digits", 1, ONE)
    store.delete_version_pointer("digits", 1)
    store.delete_version_pointer("digits", 1)
    assert list(store.list_versions()) == []


def test_an_alias_keeps_its_history(store: Store) -> None:
    store.write_alias_pointer("digits", "production", 1, at="2026-01-01T00:00:00+00:00")
    store.write_alias_pointer("digits", "production", 2, at="2026-02-01T00:00:00+00:00")
    store.write_alias_pointer("digits", "production", 2, at="2026-03-01T00:00:00+00:00")
    history = (
        AliasChange(version=1, at="2026-01-01T00:00:00+00:00"),
        AliasChange(version=2, at="2026-02-01T00:00:00+00:00"),
    )
    assert list(store.list_aliases()) == [("digits", "production", AliasPointer(version=2, history=history))]
    store.write_alias_pointer("digits", "production", None, at="2026-04-01T00:00:00+00:00")
    (_, _, gone), *_ = store.list_aliases()
    assert (gone.version, gone.history[:2], gone.history[2].version) == (None, history, None)
    store.write_alias_pointer("digits", "production", 1)
    (_, _, back), *_ = store.list_aliases()
    assert (back.version, [move.version for move in back.history]) == (1, [1, 2, None, 1])


@pytest.mark.parametrize("name", ["../x", "a/../b", "a~b", "A", ""])
def test_names_are_checked_before_they_become_paths(store: Store, name: str) -> None:
    with pytest.raises(InvalidInput, match="model"):
        store.write_version_pointer(name, 1, ONE)


def test_a_damaged_pointer_is_named(store: Store, url: str) -> None:
    store.write_version_pointer("digits", 1, ONE)
    with fsspec.open(f"{url}/models/digits/versions/1.json", "wb") as file:
        file.write(b'{"digest": "sha256:../../x", "created_at": ""}')
    with pytest.raises(CorruptBlob, match=r"models/digits/versions/1\.json"):
        list(store.list_versions())


def test_other_files_beside_pointers_do_not_matter(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_version_pointer("digits", 1, ONE)
    (tmp_path / "models/digits/versions/notes.txt").write_text("mine")
    (tmp_path / "models/digits/versions/old.json").write_text("mine")
    (tmp_path / "models/readme").write_text("mine")
    (tmp_path / "models/NOT A MODEL/versions").mkdir(parents=True)
    (tmp_path / "models/NOT A MODEL/versions/1.json").write_text("mine")
    (tmp_path / "models/digits/aliases").mkdir()
    (tmp_path / "models/digits/aliases/NOT AN ALIAS.json").write_text("mine")
    assert list(store.list_aliases()) == []
    assert list(store.list_versions()) == [("digits", 1, ONE)]
