"""Adapters as versions: imported on a base, listed, exported alone and merged, and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, VersionInUse
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.support import migrated_database
from tests.language_models import save_language_model
from tests.lora_adapters import load_with_peft, save_adapter

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
TOKENS = torch.randint(3, 300, (2, 20), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in several files, and an adapter of it."""
    folder = tmp_path_factory.mktemp("adapters")
    save_language_model(folder / "base", shard_size="100KB")
    save_adapter(folder / "base", folder / "adapter", rank=2, alpha_pattern={"down_proj": 12})
    return folder


@pytest.fixture(scope="module")
def settings(services: Settings, folders: Path) -> Iterator[Settings]:
    with migrated_database(services) as settings:
        yield replace(settings, store=str(folders / "store"), home=None)


@pytest.fixture(scope="module")
def client(settings: Settings, folders: Path) -> Iterator[Client]:
    """Has chat:1, and support:1, which is an adapter of it."""
    with Client(redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store) as client:
        client.models.import_(folders / "base", "chat")
        client.models.import_(folders / "adapter", "support", base="chat:1")
        yield client


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    computed: torch.Tensor = model(input_ids=TOKENS).logits
    return computed


def test_the_version_has_the_files_of_its_base_and_the_adapter(client: Client, settings: Settings) -> None:
    base, version = client.models.get("chat:1"), client.models.get("support:1")
    store = Store(settings.store)
    files, own = store.get_manifest(base.digest).files, store.get_manifest(version.digest).files
    assert {name: blob for name, blob in own.items() if not name.startswith("adapter/")} == files
    assert own.keys() - files.keys() == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert version.manifest["lineage"] == {
        "imported": "adapter",
        "base": {"model": "chat", "version": 1, "digest": base.digest},
    }
    assert version.manifest["signature"] == base.manifest["signature"]


def test_files_of_the_base_are_stored_and_counted_once(client: Client) -> None:
    base, version = client.models.get("chat:1"), client.models.get("support:1")
    assert base.size_bytes is not None
    assert version.size_bytes is not None
    assert version.shared_bytes == base.shared_bytes
    usage = client.disk_usage()
    adapter = version.size_bytes - (version.shared_bytes or 0)
    assert usage.store.models < base.size_bytes + adapter + 20_000  # and the manifests


def test_peft_loads_what_is_exported(client: Client, folders: Path, tmp_path: Path) -> None:
    target = client.models.export("support:1", tmp_path / "adapter")
    assert {path.name for path in target.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    expected = logits(load_with_peft(folders / "base", folders / "adapter"))
    assert torch.equal(logits(load_with_peft(folders / "base", target)), expected)
    # It can be imported again.
    again = client.models.import_(target, "again", base="chat:1")
    assert again.manifest["files"] == client.models.get("support:1").manifest["files"]


def test_merged_and_unmerged_logits_are_equal(client: Client, folders: Path, tmp_path: Path) -> None:
    target = client.models.export("support:1", tmp_path / "merged", merged=True)
    merged = logits(AutoModelForCausalLM.from_pretrained(target))
    unmerged = logits(load_with_peft(folders / "base", folders / "adapter"))
    size = unmerged.abs().max()
    torch.testing.assert_close(merged / size, unmerged / size, rtol=0, atol=1e-5)
    assert (target / "model.safetensors.index.json").is_file()
    # It is a language model like any other.
    version = client.models.import_(target, "merged")
    assert "base" not in version.manifest["lineage"]  # type: ignore[operator]


def test_a_whole_folder_can_be_imported_elsewhere(client: Client, folders: Path, tmp_path: Path) -> None:
    target = client.models.export("support:1", tmp_path / "folder", "folder")
    expected = logits(load_with_peft(folders / "base", folders / "adapter"))
    assert torch.equal(logits(load_with_peft(target, target / "adapter")), expected)
    assert client.models.import_(target, "elsewhere").digest == client.models.get("support:1").digest
    config = json.loads((target / "adapter" / "adapter_config.json").read_text())
    (target / "adapter" / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(InvalidInput, match="use_dora"):
        client.models.import_(target, "elsewhere")


def test_options_that_do_not_fit_are_refused(client: Client, folders: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"support:1 is itself a model with an adapter; give its base, chat:1"):
        client.models.import_(folders / "adapter", "more", base="support:1")
    with pytest.raises(InvalidInput, match=r"^path: .*no adapter_config\.json"):
        client.models.import_(folders / "base", "more", base="chat:1")
    with pytest.raises(InvalidInput, match=r"^base: required: .* is an adapter; name the version"):
        client.models.import_(folders / "adapter", "more")
    with pytest.raises(InvalidInput, match="is not a folder; with a base, give the folder of an adapter"):
        client.models.import_(folders / "adapter" / "adapter_config.json", "more", base="chat:1")
    with pytest.raises(InvalidInput, match=r"^output_kind: "):
        client.models.import_(folders / "adapter", "more", base="chat:1", output_kind="logits")
    with pytest.raises(InvalidInput, match=r"^merged: the version has no adapter"):
        client.models.export("chat:1", tmp_path / "merged", merged=True)
    with pytest.raises(InvalidInput, match=r"^format: the version has no adapter"):
        client.models.export("chat:1", tmp_path / "adapter", "adapter")
    with pytest.raises(InvalidInput, match="a merged version is exported as a folder"):
        client.models.export("support:1", tmp_path / "merged", "onnx", merged=True)
    assert not any(tmp_path.iterdir())
    save_language_model(tmp_path / "other", width=32)
    client.models.import_(tmp_path / "other", "narrow")
    with pytest.raises(InvalidInput, match="give the base that it was made for"):
        client.models.import_(folders / "adapter", "more", base="narrow:1")


def test_a_base_with_adapters_is_deleted_only_by_force(client: Client, folders: Path) -> None:
    client.models.import_(folders / "base", "old")
    client.models.import_(folders / "adapter", "new", base="old:1")
    with pytest.raises(VersionInUse, match="new:1 trained from it"):
        client.models.delete("old:1")
    client.models.delete("old:1", force=True)
    assert client.models.get("new:1").manifest["files"] == client.models.get("support:1").manifest["files"]


def test_the_command_line(settings: Settings, client: Client, folders: Path, tmp_path: Path) -> None:
    longshore = CommandLine(
        {
            **without_settings(),
            "LONGSHORE_REDIS_URL": settings.redis_url,
            "LONGSHORE_DATABASE_URL": settings.database_url,
            "LONGSHORE_STORE": settings.store,
        }
    )
    done = longshore("models", "import", folders / "adapter", "--name", "shell", "--base", "chat:1")
    assert (done.code, done.out) == (0, "shell:1\n"), done.err
    shown = longshore("models", "show", "shell:1").out
    assert any(line.split() == ["base", "chat:1"] for line in shown.splitlines()), shown
    done = longshore("models", "export", "shell:1", tmp_path / "merged", "--merged")
    assert done.code == 0, done.err
    assert (tmp_path / "merged" / "config.json").is_file()
    assert not (tmp_path / "merged" / "adapter").exists()
