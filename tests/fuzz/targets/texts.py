"""Specs, references, addresses and the other small texts that people and files give."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, JsonValue

from longshore.shared.conditions.decision import VersionMetrics, decide
from longshore.shared.conditions.language import parse
from longshore.shared.durations import parse_duration
from longshore.shared.errors import CorruptBlob, InvalidInput, LongshoreError
from longshore.shared.passwords import add_password
from longshore.shared.references import ModelReference, check_alias, check_name
from longshore.shared.settings import CLUSTER_FILE, load_settings
from longshore.shared.specs.families import (
    CnnConfig,
    FamilyConfig,
    LinearConfig,
    MlpConfig,
    RnnConfig,
    TransformerConfig,
)
from longshore.shared.specs.jobs import EvaluateSpec, InferSpec, JobOptions, PromoteSpec
from longshore.shared.specs.search import CrossValidateSpec, TuneSpec
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.shared.store.address import public, without_secrets
from longshore.shared.store.manifest import Blob, Manifest, digest_of
from longshore.shared.store.store import Store
from tests.fuzz.mutations import Files
from tests.fuzz.target import Target, text

Json = dict[str, JsonValue]
FILE: Json = {"uri": "/data/x.csv", "format": "csv"}
SIGNATURE: Json = {
    "features": [
        {"name": "a"},
        {"name": "b", "width": 3, "dtype": "float32", "offsets": [0.5, 0.5, 0.5]},
        {"name": "c", "kind": "image", "missing": "nan", "input": "x"},
    ],
    "task": "classification",
    "target": "y",
    "labels": ["one", "two", 3],
    "output_kind": "logits",
}
TRAIN: Json = {
    "model": "digits",
    "family": "mlp",
    "config": {"hidden": [32, 16], "dropout": 0.5},
    "data": FILE,
    "target": "y",
    "task": "classification",
    "features": ["a", "b"],
    "epochs": 3,
    "optimizer": "adamw",
    "lr": 0.001,
    "validation": 0.2,
    "split": "random",
    "loss": "cross_entropy",
    "class_weights": "balanced",
    "augment": ["flip"],
    "schedule": "cosine",
    "warmup_steps": 10,
    "tokenizer": {"kind": "bpe", "vocabulary": 300},
    "devices": 1,
    "metrics": ["accuracy"],
    "seed": 0,
    "clip_grad_norm": 1.0,
    "early_stopping": 3,
    "promote_if": "accuracy >= 0.9",
    "alias": "production",
}
CONFIGS: Mapping[type[BaseModel], Json] = {
    LinearConfig: {"bias": True},
    MlpConfig: {"hidden": [4, 4], "activation": "relu", "dropout": 0.1},
    CnnConfig: {"input_shape": [3, 8, 8], "channels": [4, 4], "kernel_size": [3, 3], "padding": 1, "pool": 2},
    RnnConfig: {"vocabulary": 100, "cell": "gru", "hidden_size": 8, "hidden": [4]},
    TransformerConfig: {"input_shape": [4, 8], "d_model": 8, "nhead": 2, "num_layers": 2},
}
SPECS: Mapping[type[BaseModel], Json] = {
    TrainSpec: TRAIN,
    InferSpec: {"data": FILE, "batch_size": 4, "precision": "bf16", "logits": True, "keep": ["a"]},
    EvaluateSpec: {"data": FILE, "target": "y", "batch_size": "auto"},
    PromoteSpec: {"alias": "production", "condition": "accuracy > 0.5"},
    JobOptions: {"priority": "high", "timeout": 20, "max_attempts": 3, "idempotency_key": "x"},
    TuneSpec: {"train": TRAIN, "space": {"lr": {"low": 1e-4, "high": 0.1, "log": True}}, "trials": 4},
    CrossValidateSpec: {"train": TRAIN, "folds": 5},
    Signature: SIGNATURE,
    Tokenizer: {"kind": "words", "vocabulary": 300, "length": 20},
    **CONFIGS,
}


def spec_run(kind: type[BaseModel]) -> Callable[[Files, Path], None]:
    """Builds a spec from JSON, checks it, and writes it again."""

    def run(files: Files, folder: Path) -> None:
        try:
            values = json.loads(text(files[""]))
        except (ValueError, RecursionError):
            return
        if not isinstance(values, dict):
            return
        spec = build(kind, values)
        if isinstance(spec, Signature):
            spec.check("signature")
        if isinstance(spec, TrainSpec | TuneSpec):
            spec.check()
        if isinstance(spec, FamilyConfig):
            spec.check_width(192)
            spec.check_columns(["a", "b"])
        assert build(kind, json.loads(spec.model_dump_json())) == spec

    return run


def spec_seeds(values: Json) -> Callable[[], Sequence[Files]]:
    """A full spec, and ones of only some of its options."""
    parts = [{key: value} for key, value in values.items()]
    return lambda: [{"": json.dumps(each).encode()} for each in (values, *parts)]


def words(*examples: str) -> Callable[[], Sequence[Files]]:
    """Texts to start from."""
    return lambda: [{"": example.encode()} for example in examples]


METRICS = VersionMetrics("digits:3", {"accuracy": 0.9, "val_loss": 0.5})


def run_condition(files: Files, folder: Path) -> None:
    decide(parse(text(files[""]), "if_"), METRICS, lambda alias: METRICS if alias == "production" else None)


def run_reference(files: Files, folder: Path) -> None:
    content = text(files[""])
    for parser in (ModelReference.parse, check_name, check_alias, lambda value: parse_duration(value, "older_than")):
        try:
            parser(content)
        except InvalidInput:
            continue


def run_address(files: Files, folder: Path) -> None:
    address = text(files[""])
    assert public(public(address)) == public(address)
    without_secrets(f"cannot read {address}", address)
    (folder / "password").write_bytes(files[""])
    for url in (address, "redis://user@host:1/0"):
        try:
            add_password(url, str(folder / "password"), url_name="LONGSHORE_REDIS_URL", file_name="FILE")
        except InvalidInput:
            continue


def run_cluster(files: Files, folder: Path) -> None:
    (folder / CLUSTER_FILE).write_bytes(files[""])
    load_settings(home=folder, producer="me")


def run_pointers(files: Files, folder: Path) -> None:
    store = Store(str(folder))
    for name, content in files.items():
        path = folder / "models" / name
        if not name or ".." in name or name.startswith("/") or "\0" in name or len(name) > 200:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue
    for listing in (store.list_versions, store.list_aliases):
        try:
            list(listing())
        except LongshoreError:
            continue


MANIFEST = Manifest(
    family="mlp",
    config={"hidden": [4]},
    weights=Blob(digest=digest_of(b""), size=0),
    signature=Signature.model_validate({**SIGNATURE, "output_kind": None}),
    metrics={"accuracy": 0.5},
    lineage={"job": "x"},
    created_at="2026-01-01T00:00:00+00:00",
)


def run_manifest(files: Files, folder: Path) -> None:
    manifest = Manifest.parse(files[""])
    manifest.signature.check("signature")
    assert Manifest.parse(manifest.canonical()) == manifest
    store = Store(str(folder / "store"), folder / "cache")
    try:
        store.get_manifest(store.put_blob(files[""]).digest)
    except CorruptBlob:
        return


POINTERS: Files = {
    "digits/versions/1.json": json.dumps({"digest": digest_of(b""), "created_at": "2026-01-01"}).encode(),
    "a~b/aliases/production.json": b'{"version": 1, "history": [{"version": 1, "at": "2026-01-01"}]}',
}
CLUSTER = {
    "redis_url": "redis://:s3cret@127.0.0.1:6379/0",
    "database_url": "postgresql://u:p@127.0.0.1/x",
    "store": "/x",
}

TARGETS: Sequence[Target] = (
    *(Target(f"spec {kind.__name__}", spec_seeds(values), spec_run(kind)) for kind, values in SPECS.items()),
    Target(
        "condition",
        words(
            "accuracy >= 0.97 and accuracy >= production",
            "not (val_loss < 1e-3 or accuracy > production.accuracy)",
            "((accuracy == 1))",
        ),
        run_condition,
        1000,
    ),
    Target("reference", words("digits@production", "team/digits:3", "30d", "a"), run_reference, 1000),
    Target(
        "address",
        words(
            "s3://bucket/path",
            "https://user:s3cret@host/x.csv?key=s3cret",
            "simplecache::https://u:p@h/x",
            "redis://user@host:1/0?x=y",
            "/x",
        ),
        run_address,
        1000,
    ),
    Target("cluster.json", lambda: [{"": json.dumps(CLUSTER).encode()}], run_cluster),
    Target("pointers", lambda: [POINTERS], run_pointers),
    Target("manifest", lambda: [{"": MANIFEST.canonical()}], run_manifest),
)
