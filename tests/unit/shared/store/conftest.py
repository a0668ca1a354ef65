from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.store import Store


@pytest.fixture(params=["local", "remote"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "store")
        return
    root = f"/{uuid.uuid4().hex}"
    yield f"memory:/{root}"
    files = fsspec.filesystem("memory")
    if files.exists(root):
        files.rm(root, recursive=True)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Store:
    return Store(url, cache=tmp_path / "cache")


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        family="mlp",
        config={"hidden": [256], "dropout": 0.1},
        weights=Blob(digest="sha256:" + "ab" * 32, size=12),
        signature=Signature(
            features=(Feature(name="größe"), Feature(name="pixels", width=64)),
            task="classification",
            target="label",
            labels=("a", 1, True),
        ),
        metrics={"accuracy": 1, "loss": 0.1},
        lineage={"job": "0198", "seed": 7, "data": None},
        created_at="2026-01-02T03:04:05+00:00",
    )
