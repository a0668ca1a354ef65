"""An option is written once, in a spec; the client, the command line and the reference follow from it."""

from __future__ import annotations

from typing import get_args, get_type_hints

import click
import pytest
from pydantic import BaseModel

from longshore.producers.cli.main import cli
from longshore.producers.cli.option_table import OPTIONS
from longshore.producers.options import keywords
from longshore.producers.options.generate import ROOT, generated_files
from longshore.producers.options.table import SPECS, docstrings, options_of, rows_of
from longshore.producers.options.typed_dicts import NOT_IN_CROSS_VALIDATION, NOT_IN_SEARCH
from longshore.shared import vocabulary
from longshore.shared.specs.base import NOT_AN_OPTION, Spec
from longshore.shared.specs.train import TrainSpec

TYPED_DICTS = {
    "train": (keywords.TrainOptions, frozenset[str]()),
    "tune": (keywords.TuneOptions, NOT_IN_SEARCH),
    "cross_validate": (keywords.CrossValidateOptions, NOT_IN_CROSS_VALIDATION),
    "infer": (keywords.InferOptions, frozenset[str]()),
    "generate": (keywords.GenerateOptions, frozenset[str]()),
    "evaluate": (keywords.EvaluateOptions, frozenset[str]()),
    "promote": (keywords.PromoteOptions, frozenset[str]()),
}
COMMANDS = sorted(OPTIONS)


def fields_of(kind: str) -> set[str]:
    """The fields that are options, as pydantic has them."""
    return {
        field.alias or name
        for spec in SPECS[kind]
        for name, field in spec.model_fields.items()
        if NOT_AN_OPTION not in field.metadata and (name != "rows_per_shard" or kind in ("infer", "generate"))
    }


def test_the_generated_files_are_up_to_date() -> None:
    for path, text in generated_files().items():
        assert (ROOT / path).read_text() == text, f"{path}: run python -m longshore.producers.options.generate"


@pytest.mark.parametrize("kind", sorted(TYPED_DICTS))
def test_every_field_is_a_keyword(kind: str) -> None:
    typed_dict, absent = TYPED_DICTS[kind]
    assert set(typed_dict.__annotations__) == fields_of(kind) - absent


@pytest.mark.parametrize("kind", sorted(TYPED_DICTS))
def test_every_keyword_has_a_type_that_exists_and_a_docstring(kind: str) -> None:
    typed_dict, _ = TYPED_DICTS[kind]
    names = {**vars(vocabulary), **vars(keywords), "Data": str, "BaseModel": BaseModel}
    assert get_type_hints(typed_dict, globalns=names, localns=names).keys() == typed_dict.__annotations__.keys()
    classes = [each for each in vars(keywords).values() if hasattr(each, "__required_keys__")]
    documented = {name for each in classes for name, text in docstrings(each).items() if text}
    assert set(typed_dict.__annotations__) <= documented


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_field_is_an_option_of_the_command_with_its_description(kind: str) -> None:
    assert isinstance(cli, click.Group)
    command = cli.get_command(click.Context(cli), kind.replace("_", "-"))
    assert command is not None
    helps = {
        parameter.name: parameter.help or "" for parameter in command.params if isinstance(parameter, click.Option)
    }
    assert {row.name for row in OPTIONS[kind]} == fields_of(kind)
    for row in options_of(kind):
        assert helps[row.name].startswith(row.description.replace("``", "")), row.name


def test_a_field_without_a_docstring_is_an_error() -> None:
    class Undocumented(Spec):
        """Test."""

        documented: int = 1
        """A number."""
        undocumented: int = 2

    with pytest.raises(LookupError, match="undocumented has no docstring"):
        rows_of(Undocumented, "train")


@pytest.mark.parametrize("spec", dict.fromkeys(each for specs in SPECS.values() for each in specs))
def test_what_is_no_option_is_marked_as_such(spec: type[BaseModel]) -> None:
    internal = {name for name, field in spec.model_fields.items() if NOT_AN_OPTION in field.metadata}
    assert internal <= {
        *("model", "family", "data", "target", "train", "space"),
        *(
            "tokenizer_digest",
            "base_digest",
            "teacher_digest",
            "against_digest",
            "judge_digest",
            "extends",
            "keyed",
            "streamed",
            "counts_tokens",
        ),
    }


def test_the_json_of_a_training_keeps_its_order() -> None:
    """The digest of a request is made of it, and an idempotency key of an earlier release must still match."""
    assert " ".join(TrainSpec.model_fields) == (
        "model family data target task embedding_width contrast_temperature rejected truncate_prompt "
        "features validation test split stratify "
        "augment tokenizer tokenizer_digest stream shuffle_window preprocess epochs batch_size learning_rate "
        "weight_decay optimizer momentum nesterov betas eps amsgrad alpha centered loss "
        "label_smoothing class_weights beta delta "
        "init init_std metrics train_metrics schedule warmup_steps step_size gamma patience early_stopping monitor "
        "accumulate clip_grad_norm precision checkpoint_seconds checkpoint_steps keep_checkpoints base base_digest "
        "freeze teacher teacher_digest temperature mix devices strategy extends standardize seed config alias "
        "promote_if"
    )


def test_pytorch_s_spelling_names_the_same_things() -> None:
    assert {name.lower() for name in get_args(vocabulary.TorchOptimizer)} == set(get_args(vocabulary.Optimizer))
    for name in get_args(vocabulary.TorchLossName):
        spec = TrainSpec.model_validate({**REQUIRED, "loss": name})
        assert spec.loss in get_args(vocabulary.LossName)
    for name in get_args(vocabulary.TorchInitName):
        assert TrainSpec.model_validate({**REQUIRED, "init": name}).init == name.rstrip("_")


REQUIRED = {"model": "m", "family": "mlp", "data": {"uri": "/x.csv", "format": "csv"}, "target": "y"}
