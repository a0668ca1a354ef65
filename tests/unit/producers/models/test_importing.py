"""What ``models import`` accepts, and what it refuses before anything is stored."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from longshore.producers.models.importing import SignatureLike, read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.store.manifest import digest_of
from tests.unit.shared.model_formats.onnx.files import REGRESSOR, regressor

JSON = REGRESSOR.model_dump_json()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "sum.onnx"
    path.write_bytes(regressor().SerializeToString())
    return path


def test_import_a_program_with_a_signature(model: Path, tmp_path: Path) -> None:
    (tmp_path / "signature.json").write_text(JSON)
    signatures: list[SignatureLike] = [tmp_path / "signature.json", str(tmp_path / "signature.json"), REGRESSOR]
    for signature in [*signatures, json.loads(JSON)]:
        imported = read_import(model, signature)
        assert imported.files == {"model.onnx": model}
        assert (imported.manifest.runtime, imported.manifest.signature) == ("onnx", REGRESSOR)
        assert imported.manifest.blobs["model.onnx"].digest == digest_of(model.read_bytes())
        assert imported.manifest.lineage == {"imported": "sum.onnx"}


def test_importing_an_exported_program_gives_the_same_version(model: Path, tmp_path: Path) -> None:
    manifest = read_import(model, REGRESSOR).manifest
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(manifest.canonical())
    model.rename(folder / "model.onnx")
    assert read_import(folder, None).manifest == manifest
    with pytest.raises(InvalidInput, match=r"signature: .*has its own"):
        read_import(folder, REGRESSOR)
    (folder / "model.onnx").write_bytes(b"cut")
    with pytest.raises(InvalidInput, match="path: it is not an ONNX file"):
        read_import(folder, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "signature: .* does not contain a JSON object"),
        ("{", "signature: .* is not JSON"),
        ("[" * 10_000, "signature: .* is not JSON"),
        ("{}", r"signature\.features: required"),
        (JSON.replace('"regression"', '"classification"'), r"signature\.labels: classification needs two or more"),
        (
            JSON.replace('"width":3', '"kind":"text"'),
            r"signature\.features: 'b' is a text, but the input 'input' \(\?, 3\) takes numbers",
        ),
        (
            JSON.replace('"width":3', '"transform":{"kind":"number","fill":0}'),
            r"signature\.features: 'b' has a transform, but programs preprocess columns themselves; leave",
        ),
        (JSON.replace("3", "4"), "path: .*takes 3 numbers per row, .* give 4"),
    ],
)
def test_a_wrong_signature_is_refused(model: Path, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "signature.json"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=message):
        read_import(model, path)


def test_the_error_names_what_is_missing(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="signature: required for a program"):
        read_import(model, None)
    with pytest.raises(InvalidInput, match=r"signature: cannot read .*absent\.json"):
        read_import(model, tmp_path / "absent.json")
    with pytest.raises(
        InvalidInput,
        match=r"path: cannot read .*absent\.onnx: .*exported folder, a Hugging Face folder, or an ",
    ):
        read_import(tmp_path / "absent.onnx", REGRESSOR)
    with pytest.raises(InvalidInput, match=r"path: cannot read .*manifest\.json"):
        read_import(tmp_path, None)
    with pytest.raises(InvalidInput, match="path: /dev/zero is not a file"):
        read_import(Path("/dev/zero"), REGRESSOR)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # a sparse file
    with pytest.raises(InvalidInput, match=r"path: .*larger than the 2147483647 bytes allowed"):
        read_import(path, REGRESSOR)


def test_an_exported_folder_without_its_weights_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(read_import(model, REGRESSOR).manifest.canonical())
    with pytest.raises(InvalidInput, match=r"path: cannot read .*model\.onnx: there is no such file"):
        read_import(tmp_path, None)


def test_a_pickle_of_pytorch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/data.pkl", b"\x80\x02.")
    with pytest.raises(InvalidInput, match=r"path: it is a pickle of PyTorch.*torch\.export\.save"):
        read_import(path, REGRESSOR)
