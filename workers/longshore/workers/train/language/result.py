"""The result of training a language model, and how it becomes the files of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.shared.model_formats.huggingface.adapter import ADAPTER_FOLDER
from longshore.shared.specs.generation_settings import NO_SETTINGS, GenerationSettings
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store
from longshore.workers.train.language.base import BaseVersion
from longshore.workers.train.language.networks import save_adapter
from longshore.workers.train.loop.result import TrainingSummary

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TrainedLanguageModel:
    """A language model on the CPU, and what a version of it records."""

    model: PreTrainedModel
    #: The adapter that was trained; ``model`` is its base and has not changed.
    adapter: PeftModel | None
    #: Files of the tokenizer, by name; without those of a base.
    tokenizer: Mapping[str, bytes]
    base: BaseVersion | None
    metrics: dict[str, float]
    notes: tuple[str, ...]
    summary: TrainingSummary | None

    @property
    def generation(self) -> GenerationSettings:
        """How engines run the version: as its base."""
        return NO_SETTINGS if self.base is None else self.base.manifest.generation

    def store_files(self, store: Store, folder: Path) -> dict[str, Blob]:
        """Put the files of the version into the store. Files of the base that have not changed are the same blobs.

        :param folder: an empty folder to write files to.
        :raises ServiceUnavailable: the store cannot be written.
        """
        if self.adapter is not None and self.base is not None:
            save_adapter(self.adapter, folder / ADAPTER_FOLDER)
            names = ("adapter_config.json", "adapter_model.safetensors")
            own = {f"{ADAPTER_FOLDER}/{name}": store.put_blob(folder / ADAPTER_FOLDER / name) for name in names}
            return {**self.base.files, **own}
        self.model.save_pretrained(folder)
        for name, content in self.tokenizer.items():
            (folder / name).write_bytes(content)
        base = {} if self.base is None else self.base.files
        kept = {path: blob for path, blob in base.items() if not _is_weights(path)}
        written = {path.name: path for path in sorted(folder.iterdir()) if path.name not in kept}
        return {**{name: store.put_blob(path) for name, path in written.items()}, **kept}


def _is_weights(path: str) -> bool:
    return path.endswith((".safetensors", ".safetensors.index.json"))
