"""Folders of language models. What an import accepts is opened as a worker does, too, in ``opened language model``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from longshore.producers.models.importing import read_import
from tests.fuzz.mutations import Files
from tests.fuzz.target import Target
from tests.fuzz.targets.models import put, run_folder
from tests.unit.shared.model_formats.huggingface_files import LANGUAGE, LANGUAGE_SHAPES, float_tensors

#: As many numbers as the network has: they are counted before the names are compared.
_SHAPES = {**LANGUAGE_SHAPES, "model.layers.0.more.weight": (1000,)}


@cache
def folders() -> list[Files]:
    """A folder as recent versions of transformers write it, and one of earlier ones."""
    from tokenizers import Tokenizer, models

    words = {word: number for number, word in enumerate(("<s>", "</s>", "a", "b", "ab", "[UNK]"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
    sampling = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.9,
        "top_k": 20,
        "eos_token_id": [1, 2],
        "num_beams": 2,
    }
    special = {"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>"}, "model_max_length": 64}
    recent = {
        "config.json": json.dumps({**LANGUAGE, "rope_parameters": scaling}).encode(),
        "generation_config.json": json.dumps(sampling).encode(),
        "model.safetensors": float_tensors(_SHAPES),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps({**special, "tokenizer_class": "TokenizersBackend"}).encode(),
        "chat_template.jinja": b"{% for message in messages %}{{ message.content }}{% endfor %}",
        "additional_chat_templates/tool_use.jinja": b"{{ tools }}",
    }
    templates = [{"name": "default", "template": "{{ messages }}"}, {"name": "rag", "template": "{{ documents }}"}]
    earlier = {
        "config.json": json.dumps({**LANGUAGE, "rope_scaling": {"type": "linear", "factor": 2.0}}).encode(),
        "model.safetensors": float_tensors(_SHAPES, "BF16"),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps({**special, "chat_template": templates}).encode(),
        "special_tokens_map.json": b'{"eos_token": "</s>"}',
    }
    return [recent, earlier]


def run_opened(files: Files, folder: Path) -> None:
    """Import a folder, and open the version."""
    from longshore.workers.generate.folders import model_folders
    from longshore.workers.generate.version import open_version

    if put(files, folder / "model"):
        imported = read_import(folder / "model", None)
        if imported.manifest.signature.task == "generation":
            paths = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
            with model_folders(folder / "folders") as root:
                open_version(imported.manifest, paths.__getitem__, root)


TARGETS = (
    Target("language model", folders, run_folder),
    Target("opened language model", folders, run_opened, 50),
)
