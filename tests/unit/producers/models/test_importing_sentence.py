"""Importing the dense layers of an embedding model."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from tests.unit.shared.model_formats.huggingface_files import (
    MODULES,
    Json,
    float_tensors,
    module,
    write,
    write_sentence,
)

DENSE: Json = {"in_features": 768, "out_features": 3}
DENSE_SHAPES = {"linear.weight": (3, 768), "linear.bias": (3,)}


@pytest.mark.parametrize(
    ("settings", "shapes", "message"),
    [
        ({}, {"linear.weight": (3, 768)}, r"the tensors .* but 2_Dense/config\.json describes"),
        ({"bias": False}, DENSE_SHAPES, r"the tensors .* but 2_Dense/config\.json describes"),
        ({"out_features": 4}, DENSE_SHAPES, "use the configuration and the weights of one model"),
        ({"out_features": 2**30}, DENSE_SHAPES, "out_features 1073741824 is not a whole number from 1 to 1048576"),
        ({"in_features": 12}, DENSE_SHAPES, "in_features 12: the vectors before it have 768 numbers"),
        ({"activation_function": "torch.load"}, DENSE_SHAPES, "activation_function 'torch.load' is not supported"),
        ({"module_input_name": "token_embeddings"}, DENSE_SHAPES, "module_input_name 'token_embeddings' is not"),
        ({}, None, r"there is no 2_Dense/model\.safetensors; pickles are never read"),
    ],
)
def test_a_dense_layer_that_cannot_be_run_is_refused(
    tmp_path: Path, settings: Json, shapes: dict[str, tuple[int, ...]] | None, message: str
) -> None:
    write_sentence(tmp_path, [*MODULES[:2], module("Dense", "2_Dense")])
    write(tmp_path, "2_Dense/config.json", DENSE | settings)
    if shapes is not None:
        write(tmp_path, "2_Dense/model.safetensors", float_tensors(shapes))
    with pytest.raises(InvalidInput, match=message):
        read_import(tmp_path, None)


def test_the_files_of_all_modules_are_imported(tmp_path: Path) -> None:
    write_sentence(tmp_path, [*MODULES[:2], module("Dense", "2_Dense"), module("Normalize", "3_Normalize")])
    write(tmp_path, "2_Dense/config.json", DENSE)
    write(tmp_path, "2_Dense/model.safetensors", float_tensors(DENSE_SHAPES))
    write(tmp_path, "3_Normalize/config.json", {})
    files = read_import(tmp_path, None).manifest.blobs.keys()
    assert {"2_Dense/config.json", "2_Dense/model.safetensors", "3_Normalize/config.json"} < files
