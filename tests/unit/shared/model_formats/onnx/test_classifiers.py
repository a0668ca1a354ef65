"""What is seen of classifiers of ``ai.onnx.ml``, and how files that are not quite valid are read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.messages import find
from longshore.shared.model_formats.onnx.outputs import with_outputs
from longshore.shared.model_formats.onnx.program import read_program
from longshore.shared.model_formats.onnx.protobuf import fields, floats, integers
from longshore.shared.specs.signature import Feature, Signature
from tests.unit.shared.model_formats.onnx.files import IR_VERSION, OPSET

SIGNATURE = Signature(features=(Feature(name="x", width=2),), task="classification", target="y")


def forest(weights: Sequence[float], **attributes: object) -> onnx.ModelProto:
    """Two trees of one node each, with the outputs of skl2onnx and a ``ZipMap``.

    :param weights: of the classes in the one leaf of each tree.
    """
    tree: dict[str, Any] = {
        "nodes_treeids": [0, 1],
        "nodes_nodeids": [0, 0],
        "nodes_modes": ["LEAF", "LEAF"],
        "nodes_featureids": [0, 0],
        "nodes_values": [0.0, 0.0],
        "nodes_truenodeids": [0, 0],
        "nodes_falsenodeids": [0, 0],
        "class_treeids": [0, 0, 1, 1],
        "class_nodeids": [0, 0, 0, 0],
        "class_ids": [0, 1, 0, 1],
        "class_weights": list(weights),
        "classlabels_strings": ["no", "yes"],
        "post_transform": "NONE",
        **attributes,
    }
    domain = "ai.onnx.ml"
    nodes = [
        helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "p"], domain=domain, **tree),
        helper.make_node("ZipMap", ["p"], ["zipped"], domain=domain, classlabels_strings=["no", "yes"]),
    ]
    number = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    pairs = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, number))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            helper.make_value_info("zipped", pairs),
        ],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(domain, 1)]
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets)


@pytest.mark.parametrize(
    ("weights", "attributes", "kind"),
    [
        ([0.25, 0.25, 0.4, 0.1], {}, "probabilities"),
        ([0.25, 0.25, 0.4, 0.2], {}, None),
        ([0.75, -0.25, 0.4, 0.1], {}, None),
        ([0.25, 0.25, 0.4, 0.1], {"base_values": [0.5, 0.5]}, None),
        ([3.0, 1.0, 2.0, 9.0], {"post_transform": "SOFTMAX"}, "probabilities"),
        ([3.0, 1.0, 2.0, 9.0], {"post_transform": "LOGISTIC"}, "probabilities"),
        ([3.0, 1.0, 2.0, 9.0], {"post_transform": "PROBIT"}, None),
        ([0.5, 0.1, 0.5, 0.0], {"class_ids": [1, 1, 1, 1]}, "probabilities"),
        ([0.6, 0.1, 0.5, 0.0], {"class_ids": [1, 1, 1, 1]}, None),
    ],
)
def test_what_a_forest_puts_out(weights: list[float], attributes: dict[str, object], kind: str | None) -> None:
    found = read_program(forest(weights, **attributes).SerializeToString(), SIGNATURE, "path")
    assert found.signature.output_kind == kind
    assert found.signature.labels == ("no", "yes")
    assert (found.signature.output, found.signature.label_output) == ("zipped", "label")
    assert (found.io.output.name, found.hidden_output) == ("p", True)


def test_only_what_is_needed_is_kept() -> None:
    model = onnx.load_from_string(with_outputs(forest([0.5, 0, 0.5, 0]).SerializeToString(), ["p", "label"]))
    assert [value.name for value in model.graph.output] == ["p", "label"]
    assert [node.op_type for node in model.graph.node] == ["TreeEnsembleClassifier"]
    assert model.opset_import == forest([0.5, 0, 0.5, 0]).opset_import


@given(st.data())
def test_damaged_files_are_refused_or_read(data: st.DataObject) -> None:
    content = bytearray(forest([0.25, 0.25, 0.4, 0.1]).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InvalidInput):
        found = read_program(bytes(content), SIGNATURE, "path")
        with_outputs(bytes(content), [found.io.output.name])


@given(
    st.lists(st.floats(width=32, allow_nan=False), max_size=60),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60),
    st.booleans(),
)
def test_lists_of_numbers_are_read_and_passed_over(numbers: list[float], whole: list[int], mixed: bool) -> None:
    attribute = onnx.AttributeProto(
        name="a", floats=numbers, ints=whole, strings=[b"end"], type=onnx.AttributeProto.FLOATS
    )
    message = memoryview(attribute.SerializeToString() * (2 if mixed else 1))
    times = 2 if mixed else 1
    np.testing.assert_array_equal(floats(message, 7), np.array(numbers * times, np.float32))
    np.testing.assert_array_equal(integers(message, 8), np.array(whole * times, np.int64))
    skipped = [(number, value) for number, value in fields(message, skip={7, 8})]
    assert skipped == [(number, value) for number, value in fields(message) if number not in (7, 8)]


def test_long_lists_are_passed_over() -> None:
    attribute = onnx.AttributeProto(
        name="a", floats=[1.5] * 50_000, ints=[300] * 50_000, type=onnx.AttributeProto.FLOATS
    )
    node = onnx.NodeProto(op_type="If", attribute=[attribute])
    model = onnx.ModelProto(graph=onnx.GraphProto(node=[node]))
    assert len(list(find(memoryview(model.SerializeToString()), "node"))) == 1
    found = [number for number, _ in fields(memoryview(attribute.SerializeToString()), skip={7, 8})]
    assert found == [1, 20]
