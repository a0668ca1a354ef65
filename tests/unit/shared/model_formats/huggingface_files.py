"""Folders as Hugging Face's libraries save them, written by hand: as far as an import looks at them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from longshore.shared.model_formats.weights import TensorEntry, header

Json = dict[str, object]
CONFIG: Json = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "max_position_embeddings": 64}
POOLING: Json = {"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}


def module(kind: str, path: str = "", package: str = "sentence_transformers.models") -> Json:
    """One entry of ``modules.json``."""
    return {"idx": 0, "name": kind, "path": path, "type": f"{package}.{kind}"}


MODULES = [module("Transformer"), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize")]


def tensors(entries: Mapping[str, object] | None = None, numbers: bytes = bytes(8)) -> bytes:
    """A safetensors file; by default of one tensor of two float32."""
    entries = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}} if entries is None else entries
    text = json.dumps(entries).encode()
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


def float_tensors(shapes: Mapping[str, tuple[int, ...]], dtype: str = "F32") -> bytes:
    """A safetensors file of zeros."""
    size = {"F32": 4, "BF16": 2, "U8": 1}[dtype]
    entries = [TensorEntry(name, dtype, shape, size * math.prod(shape)) for name, shape in shapes.items()]
    return header(entries) + bytes(sum(entry.nbytes for entry in entries))


#: A decoder of two layers.
LANGUAGE: Json = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 64},
    **{"num_hidden_layers": 2, "vocab_size": 6, "hidden_size": 4, "intermediate_size": 8, "num_attention_heads": 2},
    "eos_token_id": 1,
}
#: Some of its tensors.
LANGUAGE_SHAPES = {
    "lm_head.weight": (6, 4),
    "model.embed_tokens.weight": (6, 4),
    "model.layers.0.mlp.up_proj.weight": (8, 4),
    "model.layers.1.mlp.up_proj.weight": (8, 4),
}


def write_language(folder: Path, **config: object) -> None:
    """A model that generates text."""
    write(folder, "config.json", LANGUAGE | config)
    write(folder, "model.safetensors", float_tensors(LANGUAGE_SHAPES))
    write(folder, "tokenizer.json", {"version": "1.0"})


def write_sentence(folder: Path, modules: object = MODULES, **pooling: object) -> None:
    """An embedding model."""
    write_classifier(folder, architectures=["BertModel"])
    write(folder, "modules.json", modules)
    write(folder, "1_Pooling/config.json", POOLING | pooling)
