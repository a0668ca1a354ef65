"""What an ONNX program that classifies says itself: its classes, and what its outputs are.

https://onnx.ai/onnx/operators/index_ai_onnx_ml.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longshore.shared.model_formats.onnx.graph import OnnxGraph, OnnxNode, constant_values
from longshore.shared.model_formats.program_io import Ending, TensorSpec

#: Operators that do not change the values of their first input.
_PASSING = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
#: Operators of ``ai.onnx.ml`` with the outputs label and scores.
_CLASSIFIERS = frozenset({"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"})
#: Their attributes with the classes.
_CLASSES = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
#: How far the leaves of a forest may be from probabilities.
_TOLERANCE = 1e-4

Labels = Sequence[str] | Sequence[int]


@dataclass(frozen=True)
class Classes:
    """The classes of a program."""

    labels: Labels
    #: The output with the label of a row.
    output: str


def unzip(graph: OnnxGraph, output: TensorSpec) -> TensorSpec:
    """The tensor of an output that is a sequence of maps from label to score; other outputs as they are."""
    node = graph.producers.get(output.name)
    if output.dtype is not None or node is None or node.operator != "ZipMap" or not node.inputs:
        return output
    return TensorSpec(node.inputs[0], "float32", (None, len(_labels(node)) or None))


def find_classes(graph: OnnxGraph) -> Classes | None:
    """The classes, if the program has an output with the label of a row; ``None`` otherwise."""
    for output in graph.outputs:
        if output.dtype not in ("int64", "int32", "string"):
            continue
        node = _source(graph, output.name)
        labels: Labels = ()
        if node is not None and node.operator in _CLASSIFIERS:
            labels = _labels(node)
        elif node is not None and node.operator == "ArrayFeatureExtractor" and node.inputs[:1]:
            constant = graph.constants.get(node.inputs[0])
            labels = () if constant is None else constant_values(constant)
        if len(labels) > 1:
            return Classes(labels, output.name)
    return None


def find_ending(graph: OnnxGraph, output: str) -> Ending | None:
    """How an output was made, as far as that can be seen."""
    node = _source(graph, output)
    if node is None or node.operator != "Normalizer":
        return _ending(node)
    probable = node.text("norm") == "L1" and _ending(_source(graph, next(iter(node.inputs), ""))) in (
        "softmax",
        "sigmoid",
    )
    return "softmax" if probable else None


def _ending(node: OnnxNode | None) -> Ending | None:
    if node is None:
        return None
    if node.operator == "Softmax":
        return "softmax" if node.integer("axis") in (None, 1, -1) else None
    if node.operator == "Sigmoid":
        return "sigmoid"
    if node.operator not in _CLASSIFIERS:
        return None
    if node.text("post_transform") in ("SOFTMAX", "SOFTMAX_ZERO"):
        return "softmax"
    if node.text("post_transform") == "LOGISTIC":
        return "softmax" if len(_labels(node)) == 2 else "sigmoid"
    if node.operator == "TreeEnsembleClassifier":
        return "softmax" if _votes(node) else None
    if node.operator == "SVMClassifier":
        return "softmax" if len(node.floats("prob_a")) else "scores"
    return "scores" if node.text("post_transform") in ("", "NONE") else None


def _source(graph: OnnxGraph, name: str) -> OnnxNode | None:
    """The node that computes a value, or of which it is a copy in another shape or type."""
    for _ in range(len(graph.nodes)):
        node = graph.producers.get(name)
        if node is None or node.operator not in _PASSING or not node.inputs:
            return node
        name = node.inputs[0]
    return None


def _labels(node: OnnxNode) -> Labels:
    for name in _CLASSES:
        labels: Labels = node.texts(name) or [int(label) for label in node.integers(name)]
        if labels:
            return labels
    return ()


def _votes(node: OnnxNode) -> bool:
    """Whether the weights of each leaf of a forest are its share of a probability."""
    weights = node.floats("class_weights")
    trees, nodes = node.integers("class_treeids"), node.integers("class_nodeids")
    if not weights.size or len(node.floats("base_values")) or not weights.min() >= 0:
        return False
    if not len(weights) == len(trees) == len(nodes):
        return False
    shares = weights * len(np.unique(trees))
    if len(_labels(node)) == 2 and len(np.unique(node.integers("class_ids"))) == 1:  # the other class has the rest
        return bool(shares.max() < 1 + _TOLERANCE)
    _, leaves = np.unique(np.stack([trees, nodes]), axis=1, return_inverse=True)
    return bool(np.abs(np.bincount(leaves.reshape(-1), shares) - 1).max() < _TOLERANCE)
