from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.vocabulary import RuntimeName

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_canonical_bytes_are_sorted_tight_utf8(manifest: Manifest) -> None:
    text = manifest.canonical().decode()
    assert "größe" in text
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert manifest.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_parse_gives_back_the_same_version(manifest: Manifest) -> None:
    parsed = Manifest.parse(manifest.canonical())
    assert parsed == manifest
    assert parsed.digest == manifest.digest
    assert [type(label) for label in parsed.signature.labels or ()] == [str, int, bool]


@given(
    config=st.dictionaries(st.text(), VALUES, max_size=4),
    metrics=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)
def test_any_values_survive_the_way_through_the_store(config: dict[str, object], metrics: dict[str, float]) -> None:
    manifest = Manifest.model_validate(
        {
            "family": "f",
            "config": config,
            "metrics": metrics,
            "weights": Blob(digest="sha256:" + "0" * 64, size=0),
            "signature": Signature(features=(Feature(name="x"),), task="regression", target="y"),
            "created_at": "2026-01-01T00:00:00+00:00",
        }
    )
    assert Manifest.parse(manifest.canonical()).canonical() == manifest.canonical()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")], "\ud800"])
def test_what_json_cannot_hold_is_refused(manifest: Manifest, value: float | str) -> None:
    with pytest.raises(InvalidInput, match="manifest"):
        manifest.model_copy(update={"config": {"x": value}}).canonical()


def test_metrics_are_finite(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Manifest(**{**dict(manifest), "metrics": {"loss": float("nan")}})


@pytest.mark.parametrize(
    "digest", ["", "sha256:../../etc", "sha256:" + "A" * 64, "md5:" + "0" * 64, "sha256:" + "0" * 64 + "\n"]
)
def test_a_blob_needs_a_real_digest(digest: str) -> None:
    with pytest.raises(ValidationError, match="digest"):
        Blob(digest=digest, size=1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"format":2}', "format 1"),
        (b'{"format":1}', "manifest.family: required"),
        (b'{"format":1,"config":{"x":NaN}}', "not JSON"),
    ],
)
def test_parse_says_what_is_wrong(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Manifest.parse(content)


def test_the_digest_of_a_family_s_version_never_changes(manifest: Manifest) -> None:
    assert manifest.digest == "sha256:dbdc6aa598b72f5b0aa8bae545cebd3c4fc2b955c9d10d7c4693aaf9c9cb30f2"


def test_an_onnx_version_has_no_family(manifest: Manifest) -> None:
    onnx = Manifest(
        runtime=RuntimeName.ONNX, weights=manifest.weights, signature=manifest.signature, created_at=manifest.created_at
    )
    written = json.loads(onnx.canonical())
    assert written["runtime"] == "onnx"
    assert written.keys().isdisjoint({"family", "config"})
    assert written.keys() == onnx.model_dump(mode="json").keys()
    assert Manifest.parse(onnx.canonical()) == onnx
    added: list[dict[str, object]] = [{"family": "mlp"}, {"config": {}}]
    for more in added:
        with pytest.raises(
            InvalidInput, match=rf"manifest\.{next(iter(more))}: not allowed for a version of the runtime"
        ):
            Manifest.parse(json.dumps({**written, **more}).encode())


def test_a_family_s_version_of_texts_has_its_tokenizer(manifest: Manifest) -> None:
    assert "tokenizer" not in json.loads(manifest.canonical())
    signature = manifest.signature.model_copy(update={"features": (Feature(name="title", width=9, kind="text"),)})
    blob = Blob(digest="sha256:" + "cd" * 32, size=3)
    reading = Manifest(**{**dict(manifest), "signature": signature, "tokenizer": blob})
    assert Manifest.parse(reading.canonical()) == reading
    assert list(reading.blobs.items()) == [("tokenizer.json", blob), ("weights.safetensors", manifest.weights)]
    for changes in ({"signature": signature}, {"tokenizer": blob}):
        with pytest.raises(
            ValidationError, match="a tokenizer is required for a family that reads texts, and not allowed otherwise"
        ):
            Manifest(**{**dict(manifest), **changes})


@pytest.mark.parametrize("changes", [{"runtime": "onnx"}, {"family": ""}, {"runtime": "pickle"}])
def test_a_runtime_and_a_family_that_do_not_go_together_are_refused(
    manifest: Manifest, changes: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate({**dict(manifest), **changes})


@pytest.mark.parametrize("field", ["family", "config"])
def test_a_family_s_version_says_how_to_build_it(manifest: Manifest, field: str) -> None:
    values = json.loads(manifest.canonical())
    del values[field]
    with pytest.raises(InvalidInput, match=rf"manifest\.{field}: required"):
        Manifest.parse(json.dumps(values).encode())


def test_parse_refuses_unknown_fields(manifest: Manifest) -> None:
    values = {**json.loads(manifest.canonical()), "pickle": "x"}
    with pytest.raises(InvalidInput, match=r"manifest\.pickle"):
        Manifest.parse(json.dumps(values).encode())
