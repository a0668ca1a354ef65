"""What the outputs of a head are: against transformers' pipeline and sentence-transformers' CrossEncoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Task
from tests.differential.imported.folders import PAIRS, FolderKind, changed, save_folder
from tests.differential.imported.reference import of_libraries, of_longshore

PROBLEMS = (None, "regression", "multi_label_classification", "single_label_classification")
#: A network for each name of its last layer.
NETWORKS = tuple({network: (network, tokenizer) for network, tokenizer in PAIRS}.values())
BERT = ("bert", "wordpiece")
#: Every kind of head on one network, and some on each.
HEADS = [(BERT, labels, problem) for labels in (1, 2, 3) for problem in PROBLEMS]
HEADS += [(pair, labels, None) for pair in NETWORKS for labels in (1, 3) if pair != BERT]


def _expected(problem: str | None, labels: int) -> tuple[Task, str | None]:
    """The task, and the activation of a regression."""
    if problem == "multi_label_classification":
        return "multilabel", None
    if problem == "regression":
        return "regression", None
    return ("regression", "sigmoid") if labels == 1 else ("classification", None)


@pytest.mark.parametrize(("pair", "labels", "problem"), HEADS)
def test_scores_are_those_of_the_pipeline(
    tmp_path: Path, pair: tuple[str, str], labels: int, problem: str | None
) -> None:
    base = save_folder(tmp_path / "base", *pair, "labels", labels)
    folder = changed(base, tmp_path / "changed", "config.json", "problem_type", problem)
    if problem == "single_label_classification" and labels == 1:
        with pytest.raises(InvalidInput, match="problem_type 'single_label_classification' needs two labels"):
            read_import(folder, None)
        with pytest.raises(ValueError, match="requires `num_labels > 1`"):
            of_libraries(folder, "labels")
        return
    kind, outputs = of_longshore(folder)
    assert kind == "labels"
    assert outputs.difference(of_libraries(folder, kind)) is None
    signature = read_import(folder, None).manifest.signature
    assert (signature.task, signature.activation) == _expected(problem, labels)
    assert signature.outputs == labels


ACTIVATIONS = (None, "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid")
#: Where the activation is stated, and what the configuration calls the problem.
PLACES = [("modules", None), ("nested", None), ("old", None), ("modules", PROBLEMS[1]), ("modules", PROBLEMS[2])]


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("place", "problem"), PLACES)
def test_scores_are_those_of_the_cross_encoder(
    tmp_path: Path, labels: int, problem: str | None, activation: str | None, place: str
) -> None:
    """The activation in the places of all versions of the library."""
    kind: FolderKind = "pairs" if place == "modules" else "labels"
    base = save_folder(tmp_path / "base", *BERT, kind, labels)
    base = changed(base, tmp_path / "problem", "config.json", "problem_type", problem)
    file = "config_sentence_transformers.json" if place == "modules" else "config.json"
    key = {"modules": "activation_fn", "nested": "sentence_transformers", "old": "sbert_ce_default_activation_function"}
    value = {"activation_fn": activation} if place == "nested" else activation
    folder = changed(base, tmp_path / "changed", file, key[place], value)
    found, outputs = of_longshore(folder)
    # Without any statement, a folder of an old version is that of a classifier of single texts.
    assert found == ("labels" if place == "old" and activation is None else "pairs")
    assert outputs.difference(of_libraries(folder, found)) is None
