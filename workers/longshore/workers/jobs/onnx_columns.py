"""The inputs of an exported ONNX program as the columns of a table: with their names, and categories as texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, checker, compose, helper

from longshore.shared.datasets.preprocess.categories import category_codes
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform

#: The operators for texts. Version 2 is the first that maps texts to numbers.
_DOMAIN, _VERSION = "ai.onnx.ml", 2
#: Before the names within a program, which could be those of columns.
_PREFIX = "program/"
_OUTPUT = "output"


def name_columns(path: Path, features: Sequence[Feature]) -> None:
    """Name each input of a program after its column, and replace the codes of categories by the categories as texts.

    An empty text is a missing category. The output is named ``output``, with as many underscores after it as it takes
    to differ from all columns.

    :param path: a program with an input for each feature, in their order, and one output. The file is replaced.
    """
    names = {feature.name for feature in features}
    prefix, output = _PREFIX, _OUTPUT
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    while output in names:
        output += "_"
    model = compose.add_prefix(onnx.load(path), prefix)
    graph = model.graph
    [result] = graph.output
    first = [_node(feature, value.name) for feature, value in zip(features, graph.input, strict=True)]
    nodes = [*first, *graph.node, helper.make_node("Identity", [result.name], [output])]
    del graph.input[:], graph.node[:]
    graph.input.extend(_input(feature) for feature in features)
    graph.node.extend(nodes)
    result.name = output
    model.opset_import.append(helper.make_opsetid(_DOMAIN, _VERSION))
    checker.check_model(model)
    onnx.save_model(model, path)


def _input(feature: Feature) -> ValueInfoProto:
    kind, meaning = TensorProto.DOUBLE, "numbers; NaN is missing"
    if isinstance(feature.transform, CategoryTransform):
        kind, meaning = TensorProto.STRING, "categories; an empty text is missing"
    elif isinstance(feature.transform, DateTransform):
        zone = "in UTC" if feature.transform.zoned else "as they are written, without a time zone"
        meaning = f"days since 1970-01-01, {zone}; NaN is missing"
    return helper.make_tensor_value_info(feature.name, kind, ["rows", feature.numbers], doc_string=meaning)


def _node(feature: Feature, target: str) -> NodeProto:
    """Computes an input of the program from a column."""
    transform = feature.transform
    if not isinstance(transform, CategoryTransform):
        return helper.make_node("Identity", [feature.name], [target])
    codes = category_codes(transform)
    return helper.make_node(
        "LabelEncoder",
        [feature.name],
        [target],
        domain=_DOMAIN,
        keys_strings=list(codes),
        values_floats=list(map(float, codes.values())),
        default_float=0.0,
    )
