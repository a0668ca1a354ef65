"""Folders as Hugging Face's libraries save them, written by hand: as far as an import looks at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Json = dict[str, object]
CONFIG: Json = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "max_position_embeddings": 64}
POOLING: Json = {"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}


def module(kind: str, path: str = "", package: str = "sentence_transformers.models") -> Json:
    """One entry of ``modules.json``."""
    return {"idx": 0, "name": kind, "path": path, "type": f"{package}.{kind}"}


MODULES = [module("Transformer"), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize")]


def tensors(header: Mapping[str, object] | None = None, numbers: bytes = bytes(8)) -> bytes:
    """A safetensors file; by default of one tensor of two float32."""
    header = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}} if header is None else header
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def write(folder: Path, name: str, content: object) -> None:
    """A file of the folder: bytes as they are, else JSON."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def write_classifier(folder: Path, **config: object) -> None:
    """A classifier of two labels."""
    write(folder, "config.json", CONFIG | config)
    write(folder, "model.safetensors", tensors())
    write(folder, "tokenizer.json", {"version": "1.0"})


def write_sentence(folder: Path, modules: object = MODULES, **pooling: object) -> None:
    """An embedding model."""
    write_classifier(folder, architectures=["BertModel"])
    write(folder, "modules.json", modules)
    write(folder, "1_Pooling/config.json", POOLING | pooling)
