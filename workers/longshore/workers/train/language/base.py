"""The version that a training of a language model begins with: its files in a folder, as transformers reads them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.shared.errors import InvalidInput
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: The folder of an adapter in a version.
ADAPTER = "adapter"


@dataclass(frozen=True)
class BaseVersion:
    """A version in the store."""

    #: As the job names it.
    name: str
    manifest: Manifest
    store: Store

    @property
    def files(self) -> dict[str, Blob]:
        """Its files without those of an adapter, by path."""
        return {path: blob for path, blob in self.manifest.files.items() if not path.startswith(f"{ADAPTER}/")}

    def lay_out(self, folder: Path, names: Collection[str] | None = None) -> Path:
        """Link the files into a folder, which this makes. Returns it.

        :param names: only these files. Default: all.
        """
        for path, blob in self.files.items():
            if names is not None and path not in names:
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(self.store.fetch_blob(blob).absolute())
        return folder


def load_model(folder: Path, name: str) -> PreTrainedModel:
    """Load the network of a folder, in the type of its weights.

    :param name: the version, for errors.
    :raises InvalidInput: it is no decoder.
    """
    from transformers import AutoModelForCausalLM

    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InvalidInput("base", f"{name} cannot be loaded as a decoder: {error}") from error
    return model


def max_positions(model: PreTrainedModel) -> int | None:
    """Tokens that a model reads, at most; ``None`` if its config says nothing."""
    config = model.config
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"):
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return None
