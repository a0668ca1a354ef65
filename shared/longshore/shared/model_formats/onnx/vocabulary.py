"""The texts that an ONNX program knows, by the input that takes them: rows to try it with need some of them."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.shared.model_formats.onnx.graph import OnnxGraph

#: Attributes with the texts that an encoder knows.
_KNOWN_TEXTS = ("cats_strings", "keys_strings")
_MAX_TEXTS = 1000


def find_vocabulary(graph: OnnxGraph) -> dict[str, Sequence[str]]:
    """Some of the texts that the encoders after each input know, by the name of the input."""
    #: For each value, the inputs that it is computed from.
    origins: dict[str, frozenset[str]] = {spec.name: frozenset([spec.name]) for spec in graph.inputs}
    found: dict[str, dict[str, None]] = {}
    for node in graph.nodes:
        inputs = frozenset[str]().union(*(origins.get(name, frozenset()) for name in node.inputs))
        origins |= dict.fromkeys(node.outputs, inputs)
        for attribute in _KNOWN_TEXTS:
            known = node.texts(attribute)[:_MAX_TEXTS]
            for name in inputs if known else ():
                found.setdefault(name, {}).update(dict.fromkeys(known))
    return {name: tuple(known) for name, known in found.items()}
