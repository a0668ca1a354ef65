"""Importers of model files. What an import accepts is read by its runtime on a worker, too, in ``loading``."""

from __future__ import annotations

import io
import json
import math
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from longshore.producers.models.importing import read_import
from longshore.shared.errors import LongshoreError
from longshore.shared.model_formats.hdf5 import write_hdf5
from longshore.shared.model_formats.huggingface.files import parse_json
from longshore.shared.model_formats.tokenizer_limits import text_growth, tokenizer_fault
from longshore.shared.model_formats.weights import TensorEntry, header
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import MANIFEST_FILE, Blob, Manifest, digest_of
from tests.fuzz.mutations import Files
from tests.fuzz.target import Target, text
from tests.unit.shared.model_formats.huggingface_files import CONFIG, MODULES, POOLING
from tests.unit.shared.model_formats.onnx.files import linear, program, regressor

REGRESSOR = Signature(features=(Feature(name="b", width=3),), task="regression", target="y")


def put(files: Files, folder: Path) -> bool:
    """Write the files of a folder; ``False`` if no file system could have them."""
    for name, content in files.items():
        path = folder / name
        if not name or "\0" in name or len(name) > 200 or not path.resolve().is_relative_to(folder.resolve()):
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            return False
    return True


def weights(**shapes: tuple[int, ...]) -> bytes:
    """A safetensors file of float32 zeros."""
    entries = [TensorEntry(name, "F32", shape, 4 * math.prod(shape)) for name, shape in shapes.items()]
    return header(entries) + bytes(sum(entry.nbytes for entry in entries))


def tokenizers() -> list[Files]:
    """As the library tokenizers writes them."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    words = {word: number for number, word in enumerate(("[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "ab"))}
    made = [
        Tokenizer(models.WordPiece(words, unk_token="[UNK]")),
        Tokenizer(models.BPE(words, [("a", "b")], unk_token="[UNK]")),
        Tokenizer(models.Unigram([("[UNK]", 0.0), ("a", -1.0), ("ab", -2.0)], 0, False)),
        Tokenizer(models.WordLevel(words, unk_token="[UNK]")),
    ]
    made[0].normalizer = normalizers.BertNormalizer()
    made[0].pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made[0].post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made[1].normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Prepend("▁")]
    )
    made[1].pre_tokenizer = pre_tokenizers.ByteLevel()
    made[2].pre_tokenizer = pre_tokenizers.Metaspace()
    made[3].normalizer = normalizers.Sequence([normalizers.Replace("a", "bb"), normalizers.Lowercase()])
    made[3].pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s+"), "isolated"), pre_tokenizers.Digits()]
    )
    return [{"": tokenizer.to_str().encode()} for tokenizer in made]


def run_tokenizer(files: Files, folder: Path) -> None:
    try:
        values = parse_json(files[""])
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict) and tokenizer_fault(values) is None:
        assert text_growth(values) >= 1


def hugging_face() -> list[Files]:
    config = CONFIG | {"id2label": {"0": "a", "1": "b"}, "num_hidden_layers": 1, "vocab_size": 4}
    tensors = weights(
        **{
            "bert.embeddings.word_embeddings.weight": (4, 8),
            "bert.encoder.layer.0.intermediate.dense.weight": (2, 8),
            "classifier.weight": (2, 8),
        }
    )
    shared = {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": tensors,
        "tokenizer.json": tokenizers()[0][""],
        "tokenizer_config.json": b'{"model_max_length": 32, "tokenizer_class": "BertTokenizer"}',
        "special_tokens_map.json": b'{"pad_token": "[PAD]"}',
    }
    sentence = {
        **shared,
        "config.json": json.dumps({**config, "architectures": ["BertModel"]}).encode(),
        "modules.json": json.dumps(MODULES).encode(),
        "1_Pooling/config.json": json.dumps(POOLING).encode(),
        "config_sentence_transformers.json": b'{"prompts": {"q": "query: "}, "default_prompt_name": "q"}',
    }
    names = dict.fromkeys(("bert.embeddings.word_embeddings.weight", "classifier.weight"), "model-1-of-1.safetensors")
    sharded = {
        **{name: content for name, content in shared.items() if name != "model.safetensors"},
        "model.safetensors.index.json": json.dumps({"weight_map": names}).encode(),
        "model-1-of-1.safetensors": weights(**dict.fromkeys(names, (4, 8))),
    }
    return [shared, sentence, sharded]


def run_folder(files: Files, folder: Path) -> None:
    if put(files, folder):
        read_import(folder, None).close()


@cache
def family() -> tuple[Manifest, Files]:
    """A version as it is exported."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(weights(**{"network.0.weight": (1, 3), "network.0.bias": (1,)}))
        manifest = Manifest(
            family="linear",
            config={"bias": True},
            weights=describe(path),
            signature=REGRESSOR,
            metrics={"val_loss": 0.5},
            created_at="2026-01-01T00:00:00+00:00",
        )
        [name] = manifest.blobs
        return manifest, {MANIFEST_FILE: manifest.canonical(), name: path.read_bytes()}


@cache
def trees() -> list[Files]:
    """A version of trees as it is exported, whose parser in the library trusts its input."""
    import lightgbm

    random = np.random.default_rng(0)
    rows = random.standard_normal((300, 3))
    rows[:, 1] = random.integers(0, 40, 300)
    data = lightgbm.Dataset(rows, rows[:, 0] + rows[:, 1] % 3, categorical_feature=[1])
    settings = {"objective": "regression", "num_leaves": 7, "num_threads": 1, "verbosity": -1}
    content = lightgbm.train(settings, data, 3).model_to_string().encode()
    manifest = Manifest(
        family="lightgbm",
        weights=Blob(digest=digest_of(content), size=len(content)),
        signature=REGRESSOR,
        created_at="2026-01-01T00:00:00+00:00",
    )
    return [{MANIFEST_FILE: manifest.canonical(), manifest.content_file: content}]


def hdf5() -> list[Files]:
    manifest, files = family()
    with tempfile.TemporaryDirectory() as folder:
        [name] = manifest.blobs
        (Path(folder) / "w").write_bytes(files[name])
        write_hdf5(manifest, {name: Path(folder) / "w"}, Path(folder) / "x.h5")
        return [{"": (Path(folder) / "x.h5").read_bytes()}]


def run_hdf5(files: Files, folder: Path) -> None:
    (folder / "x.h5").write_bytes(files[""])
    read_import(folder / "x.h5", REGRESSOR if not files[""].startswith(b"\x89HDF") else None).close()


def onnx() -> list[Files]:
    number = numpy_helper.from_array(np.array(3), "many")
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["go"]), helper.make_node("Identity", ["before"], ["after"])],
        "body",
        [info("step", 7, []), info("on", 9, []), info("before", 1, ["rows", 3])],
        [info("go", 9, []), info("after", 1, ["rows", 3])],
    )
    loop = helper.make_node("Loop", ["many", "", "input"], ["looped"], body=body)
    shaped = helper.make_node("ConstantOfShape", ["many"], ["zeros"])
    nodes = [loop, shaped, *linear(np.ones((3, 1), np.float32))]
    models = (regressor(), program(nodes, initializers=[number]), regressor((1, 3)))
    return [{"model.onnx": model.SerializeToString()} for model in models]


def run_onnx(files: Files, folder: Path) -> None:
    if put(files, folder) and "model.onnx" in files:
        read_import(folder / "model.onnx", REGRESSOR).close()


@cache
def pt2() -> list[Files]:
    """Programs of ``torch.export``, as the files of their archives."""
    import torch
    from torch import nn

    from tests.pt2_files import save

    torch.manual_seed(0)
    found: list[Files] = []
    with tempfile.TemporaryDirectory() as folder:
        for network in (nn.Linear(3, 1), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 1))):
            path = save(network.eval(), (3,), Path(folder) / "x.pt2")
            with zipfile.ZipFile(path) as archive:
                found.append({name: archive.read(name) for name in archive.namelist()})
    return found


def packed(files: Files) -> bytes:
    """An archive as ``torch.export.save`` writes it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return sink.getvalue()


def run_pt2(files: Files, folder: Path) -> None:
    run_archive({"": packed(files)}, folder)


def run_archive(files: Files, folder: Path) -> None:
    (folder / "x.pt2").write_bytes(files[""])
    read_import(folder / "x.pt2", REGRESSOR).close()


def run_signature(files: Files, folder: Path) -> None:
    (folder / "signature.json").write_bytes(files[""])
    (folder / "model.onnx").write_bytes(onnx()[0]["model.onnx"])
    read_import(folder / "model.onnx", folder / "signature.json").close()


def loading(files: Files, folder: Path, signature: Signature | None, name: str) -> None:
    """Import a version, load it as a worker does, and run rows."""
    import pyarrow as pa
    import torch

    from longshore.workers.runtimes.base import Execution
    from longshore.workers.runtimes.loading import load

    imported = read_import(folder / name if name else folder, signature)
    try:
        paths = {blob.digest: imported.files[name] for name, blob in imported.manifest.blobs.items()}
        runtime = load(imported.manifest, lambda blob: paths[blob.digest], torch.device("cpu"), Execution())
        columns = {feature.name: pa.array([[0.5, 1.0, 2.0]] * 3) for feature in runtime.signature.features}
        prepared = runtime.prepare(pa.record_batch(columns))
        runtime.forward(prepared, slice(0, 3))
    finally:
        imported.close()


def run_loaded_onnx(files: Files, folder: Path) -> None:
    if put(files, folder) and "model.onnx" in files:
        loading(files, folder, REGRESSOR, "model.onnx")


def run_loaded_pt2(files: Files, folder: Path) -> None:
    (folder / "x.pt2").write_bytes(packed(files))
    loading(files, folder, REGRESSOR, "x.pt2")


def run_loaded_family(files: Files, folder: Path) -> None:
    if put(files, folder):
        loading(files, folder, None, "")


def run_text(files: Files, folder: Path) -> None:
    """Load a tokenizer as a worker does, and tokenize texts with it."""
    import pyarrow as pa

    from longshore.workers.runtimes.tokens import TextReader, TokenizationConfig, parse_tokenizer

    signature = Signature(features=(Feature(name="text", kind="text"),), task="embedding", target="embedding")
    reader = TextReader(parse_tokenizer(text(files[""])), TokenizationConfig(signature, 8, empty=0))
    try:
        reader.prepare(pa.record_batch({"text": ["a ab", "", "b" * 500 + " é ﷺ", None]}))
        assert reader.vocabulary >= 0
    except LongshoreError:
        return


TARGETS: Sequence[Target] = (
    Target("tokenizer limits", tokenizers, run_tokenizer),
    Target("hugging face", hugging_face, run_folder),
    Target("exported folder", lambda: [family()[1]], run_folder),
    Target("exported hdf5", hdf5, run_hdf5, 5),  # a process each
    Target("onnx", onnx, run_onnx),
    Target("signature", lambda: [{"": REGRESSOR.model_dump_json().encode()}], run_signature),
    Target("pt2", pt2, run_pt2),
    Target("pt2 archive", lambda: [{"": packed(files)} for files in pt2()], run_archive),
    Target("tokenizer", tokenizers, run_text),
    Target("loaded onnx", onnx, run_loaded_onnx, 50),
    Target("loaded pt2", pt2, run_loaded_pt2, 50),
    Target("loaded folder", lambda: [family()[1]], run_loaded_family, 50),
    Target("loaded trees", trees, run_loaded_family),
)
