"""The version that a training of a language model begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.adapter import is_adapter_file
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.store import Store
from longshore.workers.generate.version import LanguageVersion, open_version

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
        return {path: blob for path, blob in self.manifest.files.items() if not is_adapter_file(path)}

    def open(self, root: Path) -> LanguageVersion:
        """Lay it out below a folder, as an engine would.

        :raises InvalidInput: it is no language model, or this worker has no transformers.
        :raises CorruptBlob: a file cannot be loaded.
        """
        return open_version(self.manifest, self.store.fetch_blob, root)

    def open_decoder(self, root: Path) -> LanguageVersion:
        """As :meth:`open`, for its network to be trained.

        :raises InvalidInput: also if it is no decoder.
        """
        version = self.open(root)
        if version.model.encoder_decoder:  # the library would load its decoder alone, some of it with random weights
            raise InvalidInput("base", f"{self.name} is an encoder with a decoder; only decoders are trained")
        return version


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
