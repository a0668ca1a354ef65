"""Folders of language models: imported, interrupted and repeated, exported, and laid out without copies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers import Client
from longshore.producers.models.import_progress import ImportProgress
from longshore.shared.settings import Settings
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store
from longshore.workers.generate.folders import model_folders
from longshore.workers.generate.version import open_version
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.support import migrated_database
from tests.language_models import save_language_model

MESSAGES = [{"role": "user", "content": "the cat sat"}]


class Stopped(Exception):
    """Ends an import as a signal does."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in several files."""
    folder = tmp_path_factory.mktemp("language") / "chat"
    save_language_model(folder, shard_size="100KB")
    return folder


@pytest.fixture
def settings(services: Settings, tmp_path: Path) -> Iterator[Settings]:
    with migrated_database(services) as settings:
        yield replace(settings, store=str(tmp_path / "store"), home=None)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store) as client:
        yield client


def logits(folder: Path) -> torch.Tensor:
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        computed: torch.Tensor = module(torch.tensor([[5, 9, 300, 17]])).logits
    return computed


def rendered(folder: Path) -> object:
    """What the chat template of a folder writes."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)


def test_the_library_loads_what_is_exported(client: Client, folder: Path, tmp_path: Path) -> None:
    version = client.models.import_(folder, "chat", alias="production", generation={"max_model_len": 128})
    exported = client.models.export("chat@production", tmp_path / "exported")
    assert torch.equal(logits(exported), logits(folder))
    assert rendered(exported) == rendered(folder)
    again = client.models.import_(exported, "again")
    assert again.digest == version.digest
    assert again.manifest["generation"] == {"max_model_len": 128}


def test_an_import_that_was_interrupted_is_repeated_without_copies(
    client: Client, folder: Path, settings: Settings
) -> None:
    def stop(progress: ImportProgress) -> None:
        if progress.step == "store" and progress.done > progress.total / 2:
            raise Stopped

    with pytest.raises(Stopped):
        client.models.import_(folder, "chat", progress=stop)
    stored = {path: path.stat().st_ino for path in Path(settings.store, "blobs").rglob("*") if path.is_file()}
    assert len(stored) > 3
    assert not any(Path(settings.store, "tmp").iterdir())
    seen: list[ImportProgress] = []
    version = client.models.import_(folder, "chat", progress=seen.append)
    assert version.version == 1
    assert {path: path.stat().st_ino for path in stored} == stored
    size = sum(blob.size for blob in Store(settings.store).get_manifest(version.digest).files.values())
    for step in ("read", "store"):
        of_step = [each for each in seen if each.step == step]
        assert [each.done for each in of_step] == sorted({each.done for each in of_step})
        assert of_step[-1].done == of_step[-1].total == size


def test_a_later_change_of_the_folder_does_not_change_the_version(client: Client, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    client.models.import_(copy, "chat")
    for path in copy.glob("*.safetensors"):
        with path.open("r+b") as file:
            file.truncate(100)
    assert torch.equal(logits(client.models.export("chat:1", tmp_path / "exported")), logits(folder))


def test_the_files_of_a_version_are_laid_out_without_copies(
    client: Client, folder: Path, settings: Settings, tmp_path: Path
) -> None:
    version = client.models.import_(folder, "chat")
    store = Store(settings.store)
    manifest = store.get_manifest(version.digest)
    with model_folders(tmp_path / "folders") as root:
        opened = open_version(manifest, store.fetch_blob, root)
        weights = sorted(opened.model.folder.glob("*.safetensors"))
        assert len(weights) > 1
        for path in weights:
            assert path.samefile(store.fetch_blob(manifest.files[path.name]))
        assert torch.equal(logits(opened.model.folder), logits(folder))
        fetched: list[Blob] = []

        def fetch(blob: Blob) -> Path:
            fetched.append(blob)
            return store.fetch_blob(blob)

        assert open_version(manifest, fetch, root) == opened
        assert not {manifest.files[path.name] for path in weights} & set(fetched)
    assert [path.name for path in (tmp_path / "folders").iterdir()] == ["lock"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        with model_folders(tmp_path) as root:
            (root / "left").mkdir()
            os.write(write, b".")
            os.kill(os.getpid(), 9)
    os.read(read, 1)
    os.waitpid(child, 0)
    [left] = [path for path in tmp_path.iterdir() if path.is_dir()]
    with model_folders(tmp_path) as one, model_folders(tmp_path) as other:
        assert not left.exists()
        assert one.is_dir()
        assert other.is_dir()


def test_the_command_line(client: Client, folder: Path, settings: Settings) -> None:
    longshore = CommandLine(
        {
            **without_settings(),
            "LONGSHORE_REDIS_URL": settings.redis_url,
            "LONGSHORE_DATABASE_URL": settings.database_url,
            "LONGSHORE_STORE": settings.store,
        }
    )
    options = ("--dtype", "bfloat16", "--memory-share", "0.5")
    done = longshore("models", "import", folder, "--name", "chat", "--max-model-len", "64", *options)
    assert done.code == 0, done.err
    assert client.models.get("chat").manifest["generation"] == {
        "max_model_len": 64,
        "dtype": "bfloat16",
        "memory_share": 0.5,
    }
    done = longshore("models", "import", folder, "--name", "other", "--max-model-len", "513")
    assert done.code == 2
    assert "513: the network has 512 positions" in done.err
