"""A version of a language model, as a worker runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.huggingface.adapter import is_adapter_file, read_version_adapter
from longshore.shared.model_formats.huggingface.generation import GenerationDefaults as GenerationDefaults
from longshore.shared.model_formats.huggingface.language import (
    LanguageFolder,
    base_key,
    check_settings,
    read_language_model,
)
from longshore.shared.model_formats.huggingface.model import TOKENIZER
from longshore.shared.specs.generation_settings import NO_SETTINGS, GenerationSettings
from longshore.shared.store.manifest import Blob, Manifest
from longshore.workers.generate.checked_files import checked_files
from longshore.workers.generate.engines.base import AdapterFiles
from longshore.workers.generate.folders import lay_out
from longshore.workers.generate.network_size import check_network_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """What an engine loads once, for all versions that are made of it."""

    #: Tells models apart: a digest over the files without those of an adapter, and over the settings.
    key: str
    #: ``config.json``, the weights and the tokenizer, as transformers reads them.
    folder: Path
    #: Tokens of prompt and text together, at most.
    max_model_len: int
    #: Tokens that end a text.
    end_tokens: tuple[int, ...]
    #: Whether an encoder reads the prompt, and a decoder writes the text.
    encoder_decoder: bool = False
    #: How the version asks engines to run it.
    settings: GenerationSettings = NO_SETTINGS


@dataclass(frozen=True, kw_only=True)
class LanguageVersion:
    """One version: a language model, perhaps with an adapter."""

    #: The digest of the version.
    digest: str
    model: LanguageModel
    #: ``None``: the model alone.
    adapter: AdapterFiles | None
    #: In Jinja; ``None``: the version answers prompts, and no messages.
    chat_template: str | None
    defaults: GenerationDefaults
    #: The names of special tokens and their texts, which a chat template can use: ``bos_token`` and the like.
    special_tokens: dict[str, str]
    #: The chat template for messages with tools; ``None``: :attr:`chat_template`.
    tool_template: str | None = None


def open_version(manifest: Manifest, fetch: Callable[[Blob], Path], root: Path) -> LanguageVersion:
    """Check the files of a version again, and lay them out as transformers reads them. No weights are loaded.

    :param fetch: returns a local file with the content of a blob of the manifest.
    :param root: the folder of this process; see :func:`~longshore.workers.generate.folders.model_folders`.
    :raises InvalidInput: the version is no language model, or this worker has no transformers.
    :raises CorruptBlob: a file cannot be loaded.
    """
    if manifest.signature.task != "generation":
        raise InvalidInput("model", f"its task is {manifest.signature.task}; use a version that generates text")
    key = base_key(manifest)
    folder = root / key.removeprefix("sha256:")
    files = _fetch(manifest, fetch, folder)
    language = read_language_model(files, "model")
    check_settings(manifest.generation, language, "generation")
    if not folder.is_dir():
        check_network_size(language)
        base = {name: files[name] for name in language.files if name not in language.templates.files}
        lay_out(folder, base, checked_files(language, files))
    tokenizer = _load_tokenizer(folder)
    settings = manifest.generation
    return LanguageVersion(
        digest=manifest.digest,
        model=LanguageModel(
            key=key,
            folder=folder,
            max_model_len=settings.max_model_len or language.positions,
            end_tokens=_end_tokens(language, tokenizer),
            encoder_decoder=language.architecture.encoder_decoder,
            settings=settings,
        ),
        adapter=_adapter(manifest, files, root),
        chat_template=language.templates.default,
        defaults=language.generation.defaults,
        special_tokens=dict(tokenizer.special_tokens_map),
        tool_template=language.templates.tool_use,
    )


def _fetch(manifest: Manifest, fetch: Callable[[Blob], Path], folder: Path) -> dict[str, Path]:
    """Local files by their path in the version's folder. Fetching a blob reads it as a whole, so weights that were laid
    out for another version of the same model are taken from there.
    """
    laid_out = {path.name for path in folder.glob("*.safetensors")}
    return {name: folder / name if name in laid_out else fetch(blob) for name, blob in manifest.blobs.items()}


def _end_tokens(language: LanguageFolder, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Those of the generation, and that of the tokenizer, which ends the answers of many chat models."""
    end = tokenizer.eos_token_id
    return tuple(sorted({*language.generation.end_tokens, *([end] if isinstance(end, int) else [])}))


def _adapter(manifest: Manifest, files: dict[str, Path], root: Path) -> AdapterFiles | None:
    if read_version_adapter(files, "model") is None:
        return None
    own = {name: blob.digest for name, blob in sorted(manifest.blobs.items()) if is_adapter_file(name)}
    # Over both files: adapters with the same weights can have different scales.
    key = hashlib.sha256(json.dumps(own).encode()).hexdigest()
    parts = {name.partition("/")[2]: files[name] for name in own}
    return AdapterFiles(f"sha256:{key}", lay_out(root / f"adapter-{key}", parts))


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer, which knows the special tokens that its class adds to those of the files."""
    try:
        from transformers import AutoTokenizer, PreTrainedTokenizerBase
    except ImportError as error:
        raise InvalidInput(
            "runtime", f"transformers is not installed on this worker; pip install 'longshore[huggingface]' ({error})"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # the library can raise anything, and a panic in native code is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise CorruptBlob(f"{TOKENIZER} cannot be loaded: {error}") from None
    if not isinstance(tokenizer, PreTrainedTokenizerBase) or not tokenizer.is_fast:
        raise CorruptBlob(f"{TOKENIZER} cannot be loaded as a {type(tokenizer).__name__}")
    return tokenizer
