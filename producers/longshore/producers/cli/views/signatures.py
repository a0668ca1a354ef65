"""Describes what a version reads and puts out, in a line."""

from __future__ import annotations

from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.vocabulary import RuntimeName

#: Runtimes whose programs were made elsewhere.
_PROGRAMS = (RuntimeName.ONNX, RuntimeName.PT2)


def describe_feature(feature: Feature) -> str:
    """The name of a column, and the type and the input of a program if they are not the usual ones."""
    source = "" if feature.input in (None, feature.name) else f" for {feature.input}"
    kind = "" if feature.dtype is None else f" {feature.dtype}"
    return f"{feature.described}{kind}{source}"


def describe_output(signature: Signature, runtime: str) -> str:
    """What the outputs are, and which outputs of a program are used."""
    if signature.task == "embedding":
        kind = "embedding"
    elif signature.task == "tokens":
        kind = "spans"
    elif signature.task == "generation":
        kind = "texts"
    elif signature.labels is None:
        kind = "values" if signature.activation is None else f"values before a {signature.activation}"
    elif signature.output_kind is not None or runtime not in _PROGRAMS:
        kind = signature.output_kind or "logits"
    else:
        kind = "not known; logits, unless trial rows show probabilities or scores"
    source = "" if signature.output is None else f", from {signature.output!r}"
    label = "" if signature.label_output is None else f"; label from {signature.label_output!r}"
    return f"{kind}{source}{label}"
