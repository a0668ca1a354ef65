"""Reading a LoRA adapter to import on a version of a language model.

The new version has the files of its base, which are in the store already, and those of the adapter.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from longshore.producers.models.importing import Imported
from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.ledger.records import VersionRecord
from longshore.shared.model_formats.huggingface.adapter import (
    ADAPTER_FOLDER,
    ADAPTER_WEIGHTS,
    Adapter,
    check_fits,
    is_adapter_file,
    read_adapter,
)
from longshore.shared.model_formats.huggingface.adapter_config import ADAPTER_CONFIG
from longshore.shared.model_formats.huggingface.files import find_files, parse_json
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.huggingface.tensors import TensorHeader, parse_header
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.store import Store


def read_adapter_import(folder: Path, base: VersionRecord, store: Store) -> Imported:
    """Read and check an adapter. The caller must close the result, whose files are those of the adapter alone.

    :raises InvalidInput: the folder is no adapter in the format of peft, it does not fit the base, or the base cannot
        have one.
    :raises CorruptBlob: a file of the base is missing or damaged.
    """
    manifest = store.get_manifest(base.digest)
    _check_base(base, manifest)
    if not folder.is_dir():
        raise InvalidInput("path", f"{folder} is not a folder; with a base, give the folder of an adapter")
    files = find_files(folder, "path")
    adapter = read_adapter(files, "path")
    targets = _check_fits(adapter, manifest, store)
    temporary = tempfile.TemporaryDirectory(prefix="longshore-import-")
    try:
        # Written anew: what peft and vLLM read later are only the settings that were checked here.
        config = Path(temporary.name) / ADAPTER_CONFIG
        config.write_bytes(adapter.config.document(targets))
        own = {
            f"{ADAPTER_FOLDER}/{ADAPTER_CONFIG}": config,
            f"{ADAPTER_FOLDER}/{ADAPTER_WEIGHTS}": files[ADAPTER_WEIGHTS],
        }
        version = manifest.model_copy(
            update={
                "files": {**manifest.files, **{name: describe(path) for name, path in own.items()}},
                "metrics": {},
                "lineage": {
                    "imported": folder.name,
                    "base": {"model": base.model, "version": base.version, "digest": base.digest},
                },
                "created_at": datetime.now(UTC).isoformat(),
            }
        )
        return Imported(version, own, described=True, temporary=temporary)
    except BaseException:
        temporary.cleanup()
        raise


def _check_base(base: VersionRecord, manifest: Manifest) -> None:
    name = f"{base.model}:{base.version}"
    if manifest.signature.task != "generation":
        raise InvalidInput(
            "base", f"{name} is a version for {manifest.signature.task}; adapters need a language model, of generation"
        )
    if any(is_adapter_file(file) for file in manifest.files):
        origin = manifest.lineage.get("base")
        named = f"{origin['model']}:{origin['version']}" if isinstance(origin, dict) else origin
        hint = "" if named is None else f", {named}"
        raise InvalidInput("base", f"{name} is itself a model with an adapter; give its base{hint}")


def _check_fits(adapter: Adapter, manifest: Manifest, store: Store) -> tuple[str, ...]:
    config = parse_json(store.read_blob(manifest.files[CONFIG].digest))
    if not isinstance(config, dict):
        raise CorruptBlob(f"{CONFIG} of the base is not a JSON object")
    tensors: dict[str, TensorHeader] = {}
    for name, blob in manifest.files.items():
        if name.endswith(".safetensors"):
            tensors |= _read_header(name, blob, store)
    return check_fits(adapter, tensors, config, "path")


def _read_header(name: str, blob: Blob, store: Store) -> dict[str, TensorHeader]:
    """The tensors of a file of weights, of which only the beginning is read."""
    size = int.from_bytes(store.read_beginning(blob, 8), "little")
    beginning = store.read_beginning(blob, 8 + min(size, blob.size))
    position = 0

    def read(count: int) -> bytes:
        nonlocal position
        position += count
        return beginning[position - count : position]

    try:
        return parse_header(read, blob.size)
    except (ValueError, RecursionError) as error:
        raise CorruptBlob(f"{name} of the base, {blob.digest}: {error}") from None
