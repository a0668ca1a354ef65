"""The files that ``models export`` writes give the same numbers in other programs.

Most ask :func:`write_program` in this process: ``write_export`` starts one for each file, which has to load PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
import torch
from torch import nn

from longshore.producers.models.exporting import choose_format, write_export
from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature, Task
from longshore.shared.specs.transforms import CategoryTransform, TextTransform
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.model import assemble, build_network
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.families.weights import read_weights, save_weights
from longshore.workers.jobs.export import write_program
from longshore.workers.runtimes.base import Execution
from longshore.workers.runtimes.loading import load

CPU = torch.device("cpu")
FAMILIES: dict[str, tuple[dict[str, Any], int, int]] = {
    "linear": ({}, 5, 1),
    "mlp": ({"hidden": [16, 8], "dropout": 0.2}, 12, 4),
    "cnn": ({"input_shape": [3, 32, 32]}, 3072, 10),
}


class Version:
    """A version of a family with weights as after training, and its files."""

    def __init__(self, folder: Path, family: str, task: Task | None = None) -> None:
        config, width, outputs = FAMILIES[family]
        torch.manual_seed(0)
        built = get_family(family)
        network = built.build(built.config.model_validate(config), width, outputs)
        standardize = Standardize(torch.randn(width), torch.rand(width) + 0.5)
        self.module = assemble(network, standardize, unit_length=task == "embedding").eval()
        self.files = {"weights.safetensors": folder / "weights.safetensors"}
        save_weights(self.module, self.files["weights.safetensors"])
        self.manifest = Manifest(
            family=family,
            config=config,
            weights=describe(self.files["weights.safetensors"]),
            signature=Signature(
                features=(Feature(name="x", width=width),),
                task=task or ("regression" if outputs == 1 else "classification"),
                target="y",
                labels=None if outputs == 1 or task == "embedding" else tuple(range(outputs)),
                embedding_width=outputs if task == "embedding" else None,
            ),
            metrics={"val_loss": 0.5},
            created_at="2026-01-01T00:00:00Z",
        )

    def write_program(self, form: str, target: Path) -> None:
        write_program(form, self.manifest, self.files["weights.safetensors"], target)

    def rows(self, number: int) -> torch.Tensor:
        return torch.randn(number, self.manifest.signature.width)

    def outputs(self, rows: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            outputs: torch.Tensor = self.module(rows)
        return outputs


def batch_of(rows: torch.Tensor) -> pa.RecordBatch:
    numbers = pa.array(rows.numpy().ravel())
    return pa.record_batch({"x": pa.FixedSizeListArray.from_arrays(numbers, rows.shape[1])})


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return Version(tmp_path, "mlp")


@pytest.mark.parametrize("task", ["embedding", "multilabel"])
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_program_has_the_head_of_its_task(tmp_path: Path, form: str, task: Task) -> None:
    version = Version(tmp_path, "mlp", task)
    version.write_program(form, tmp_path / f"model.{form}")
    imported = read_import(tmp_path / f"model.{form}", version.manifest.signature)
    by_blob = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
    program = load(imported.manifest, by_blob.__getitem__, CPU, Execution())
    imported.close()
    own = load(version.manifest, lambda _: version.files["weights.safetensors"], CPU, Execution())
    rows = version.rows(7)
    for runtime in (program, own):
        outputs = runtime.forward(runtime.prepare(batch_of(rows)), slice(0, 7))
        torch.testing.assert_close(outputs, version.outputs(rows), rtol=1e-5, atol=1e-5)
        if task == "embedding":
            torch.testing.assert_close(outputs.norm(dim=1), torch.ones(7))


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_version_with_offsets_is_imported_again(tmp_path: Path, form: str) -> None:
    version = Version(tmp_path, "mlp")
    features = (
        Feature(name="at", offsets=(1_700_000_000.0,)),
        Feature(name="x", width=10),
        Feature(name="id", offsets=(123_456_789_012.0,)),
    )
    signature = version.manifest.signature.model_copy(update={"features": features})
    manifest = version.manifest.model_copy(update={"signature": signature})
    write_program(form, manifest, version.files["weights.safetensors"], tmp_path / f"model.{form}")
    imported = read_import(tmp_path / f"model.{form}", signature)
    by_blob = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
    program = load(imported.manifest, by_blob.__getitem__, CPU, Execution())
    imported.close()
    assert {feature.dtype for feature in program.signature.features} == {"float64"}
    assert program.signature.offsets == ()
    own = load(manifest, lambda _: version.files["weights.safetensors"], CPU, Execution())
    random = np.random.default_rng(0)
    batch = pa.record_batch(
        {
            "at": 1_700_000_000 + random.normal(0, 1, 9),
            "x": pa.array(list(random.normal(0, 1, (9, 10)))),
            "id": 123_456_789_012 + random.integers(-2, 2, 9),
        }
    )
    outputs, expected = (each.forward(each.prepare(batch), slice(0, 9)) for each in (program, own))
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    assert len({tuple(row) for row in outputs.tolist()}) == 9


def check_onnx(program: Path, version: Version) -> None:
    session = onnxruntime.InferenceSession(program.read_bytes(), providers=["CPUExecutionProvider"])
    for number in (1, 2, 7, 64):
        rows = version.rows(number)
        [outputs] = session.run(["output"], {"input": rows.numpy()})
        np.testing.assert_allclose(outputs, version.outputs(rows).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx_runtime_has_the_same_outputs(tmp_path: Path, family: str) -> None:
    version = Version(tmp_path, family)
    version.write_program("onnx", tmp_path / "model.onnx")
    check_onnx(tmp_path / "model.onnx", version)


def test_an_export_is_one_file_that_can_be_imported_and_exported_again(version: Version, tmp_path: Path) -> None:
    target = tmp_path / "new" / "model.onnx"
    write_export("onnx", version.manifest, version.files, target)
    assert [path.name for path in target.parent.iterdir()] == ["model.onnx"]
    check_onnx(target, version)
    again = read_import(target, version.manifest.signature).manifest
    assert again.runtime == "onnx"
    copied = tmp_path / "copied.onnx"
    write_export("onnx", again, {"model.onnx": target}, copied)
    assert copied.read_bytes() == target.read_bytes()


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_a_program_of_torch_export_has_the_same_outputs(tmp_path: Path, family: str) -> None:
    version = Version(tmp_path, family)
    version.write_program("pt2", tmp_path / "model.pt2")
    imported = read_import(tmp_path / "model.pt2", version.manifest.signature)
    by_blob = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
    runtime = load(imported.manifest, by_blob.__getitem__, CPU, Execution())
    imported.close()
    for number in (1, 7):
        rows = version.rows(number)
        outputs = runtime.forward(runtime.prepare(batch_of(rows)), slice(0, number))
        torch.testing.assert_close(outputs, version.outputs(rows), rtol=1e-5, atol=1e-5)


def test_hdf5_contains_the_parameters_and_the_manifest(version: Version, tmp_path: Path) -> None:
    write_export("hdf5", version.manifest, version.files, tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert file.attrs["family"] == "mlp"
        assert '"hidden": [16, 8]' in file.attrs["config"]
        assert '"classification"' in file.attrs["signature"]
        tensors = read_weights(version.files["weights.safetensors"])
        assert set(file["parameters"]) == set(tensors)
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(file["parameters"][name][()], tensor.numpy())


@pytest.mark.parametrize("family", FAMILIES)
def test_importing_hdf5_gives_the_same_version(tmp_path: Path, family: str) -> None:
    version = Version(tmp_path, family)
    write_export("hdf5", version.manifest, version.files, tmp_path / "model.h5")
    imported = read_import(tmp_path / "model.h5", None)
    assert imported.manifest.digest == version.manifest.digest
    assert imported.files["weights.safetensors"].read_bytes() == version.files["weights.safetensors"].read_bytes()
    imported.close()
    with pytest.raises(InvalidInput, match=r"signature: .* has its own"):
        read_import(tmp_path / "model.h5", version.manifest.signature)


class Types(nn.Module):
    """Tensors of every type that a weights file has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("number", torch.tensor(3.5))
        self.register_buffer("none", torch.zeros(0, 4))
        for kind in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
            self.register_buffer(str(kind).replace("torch.", "as_"), torch.tensor([1, 0, 1]).to(kind))
        for kind in (torch.float16, torch.bfloat16, torch.float64):
            self.register_buffer(str(kind).replace("torch.", "as_"), torch.randn(3, 2).to(kind))


def test_every_data_type_round_trips(version: Version, tmp_path: Path) -> None:
    weights = tmp_path / "types.safetensors"
    save_weights(Types(), weights)
    manifest = version.manifest.model_copy(update={"weights": describe(weights)})
    write_export("hdf5", manifest, {"weights.safetensors": weights}, tmp_path / "model.h5")
    imported = read_import(tmp_path / "model.h5", None)
    assert imported.manifest == manifest
    imported.close()


def test_changed_parameters_are_a_new_version(version: Version, tmp_path: Path) -> None:
    write_export("hdf5", version.manifest, version.files, tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file["parameters/network.0.bias"][:] = 7
    imported = read_import(tmp_path / "model.h5", None)
    manifest, weights = imported.manifest, read_weights(imported.files["weights.safetensors"])
    imported.close()
    assert manifest.digest != version.manifest.digest
    assert (manifest.config, manifest.signature) == (version.manifest.config, version.manifest.signature)
    assert manifest.metrics == {}  # those of the original do not apply
    assert manifest.lineage == {"imported": "model.h5", "changed": version.manifest.digest}
    assert weights["network.0.bias"].tolist() == [7.0] * 16


def _external(file: h5py.File) -> None:
    name = "network.0.bias"
    del file["parameters"][name]
    file["parameters"].create_dataset(name, (16,), "<f4", external=[("/etc/passwd", 0, 64)])


def _replaced(**options: Any) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file["parameters/network.0.bias"]
        file["parameters"].create_dataset("network.0.bias", **options)

    return edit


def _linked(link: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file["parameters"]["other"] = link

    return edit


def _without(name: str) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[name]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_external, "'network.0.bias' is chunked, compressed or in another file"),
        (_replaced(shape=(2**40,), dtype="<f4"), "is chunked, compressed or in another file"),
        (_replaced(data=np.zeros(16, "<f4"), compression="gzip"), "is chunked, compressed or in another file"),
        (_replaced(data=np.zeros(16, ">f4")), "has the type >f4, which is not supported"),
        (_replaced(data=np.full(16, b"x", "S1")), "which is not supported"),
        (_replaced(data=np.zeros(16, "<u2")), "which is not supported"),
        (_linked(h5py.ExternalLink("other.h5", "/x")), "'other' is a link or a group, not a dataset"),
        (_linked(h5py.SoftLink("/parameters/network.0.bias")), "'other' is a link or a group, not a dataset"),
        (lambda file: file["parameters"].create_group("other"), "'other' is a link or a group, not a dataset"),
        (_without("parameters"), "it has no group 'parameters'"),
        (lambda file: file["parameters"].clear(), "its group 'parameters' is empty"),
        (lambda file: file.attrs.pop("manifest"), "has no attribute 'manifest'"),
        (lambda file: file.attrs.update(manifest="{}"), r"manifest\.format"),
    ],
)
def test_a_modified_file_is_refused(
    version: Version, tmp_path: Path, edit: Callable[[h5py.File], object], message: str
) -> None:
    write_export("hdf5", version.manifest, version.files, tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        edit(file)
    with pytest.raises(InvalidInput, match=message):
        read_import(tmp_path / "model.h5", None)


def test_a_truncated_file_is_refused(version: Version, tmp_path: Path) -> None:
    write_export("hdf5", version.manifest, version.files, tmp_path / "model.h5")
    content = (tmp_path / "model.h5").read_bytes()
    (tmp_path / "model.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidInput, match="is a damaged HDF5 file"):
        read_import(tmp_path / "model.h5", None)


def test_the_format_follows_from_the_suffix(tmp_path: Path) -> None:
    manifest = Version(tmp_path, "linear").manifest
    for name, form in (("a.onnx", "onnx"), ("a.PT2", "pt2"), ("a.h5", "hdf5"), ("a.hdf5", "hdf5"), ("a", "folder")):
        assert choose_format(Path(name), None, manifest) == form
    assert choose_format(Path("a.onnx"), "folder", manifest) == "folder"
    with pytest.raises(InvalidInput, match="format: 'tf' is not a format; the formats are folder, onnx, pt2, hdf5"):
        choose_format(Path("a"), "tf", manifest)


def test_nothing_is_overwritten_and_a_failure_leaves_no_file(version: Version, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.onnx"
    stranger = version.manifest.model_copy(update={"family": "absent"})
    with pytest.raises(InvalidInput, match="family: 'absent' is not known on this worker"):
        write_export("onnx", stranger, version.files, target)
    assert list(target.parent.iterdir()) == []
    target.write_bytes(b"mine")
    with pytest.raises(InvalidInput, match=r"path: cannot write .*model\.onnx: it already exists"):
        write_export("onnx", version.manifest, version.files, target)
    assert target.read_bytes() == b"mine"


def test_formats_that_a_runtime_does_not_support_are_refused(version: Version, tmp_path: Path) -> None:
    manifest = version.manifest.model_copy(update={"runtime": "pt2"})
    for form in ("onnx", "pt2", "hdf5"):
        with pytest.raises(
            InvalidInput, match=f"format: {form}: a version of the runtime pt2 can only be exported as a folder"
        ):
            write_export(choose_format(Path("a"), form, manifest), manifest, version.files, tmp_path / "out")


@pytest.mark.parametrize(
    ("form", "transform", "message"),
    [
        ("onnx", TextTransform(length=3, buckets=16, width=2), "onnx: column 'c' is a text, and programs cannot hash"),
        ("pt2", TextTransform(length=3, buckets=16, width=2), "pt2: column 'c' is a text, and programs cannot hash"),
        ("pt2", CategoryTransform(categories=("a",)), "pt2: column 'c' has categories, .* use the format onnx"),
    ],
)
def test_a_column_that_a_program_cannot_preprocess_is_refused_by_name(
    tmp_path: Path, form: str, transform: TextTransform | CategoryTransform, message: str
) -> None:
    signature = Signature(
        features=(Feature(name="a"), Feature(name="c", kind=transform.kind, transform=transform)),
        task="regression",
        target="y",
    )
    family = get_family("linear")
    config = family.config.model_validate({})
    weights = tmp_path / "weights.safetensors"
    save_weights(assemble(build_network(family, config, signature, 1), None), weights)
    manifest = Manifest(
        family="linear", config={}, weights=describe(weights), signature=signature, created_at="2026-01-01T00:00:00Z"
    )
    with pytest.raises(InvalidInput, match=f"format: {message}"):
        write_program(form, manifest, weights, tmp_path / f"model.{form}")
