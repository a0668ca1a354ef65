"""What the commands that train have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from longshore.producers.cli.job_options import explicit_options, job_options, parse_config

F = TypeVar("F", bound=Callable[..., object])

TASKS = ("auto", "classification", "regression", "multilabel", "embedding")
SCHEDULES = ("constant", "step", "cosine", "linear", "one_cycle", "plateau")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
STRATEGIES = ("ddp", "fsdp")
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "nadam", "radam")

#: Options whose text must be read.
_READ_HERE = ("config", "augment", "tokenizer", "features", "class_weights")
#: Those of them that are given key by key.
_SETTINGS = {
    "config": "--set",
    "augment": "--augment",
    "tokenizer": "--tokenizer",
    "class_weights": "--class-weights",
}
#: As people see them in the help. What is not given is left to the defaults of the spec.
_OPTIONS = (
    click.option("--model", required=True, metavar="NAME", help="The model that gets a new version."),
    click.option(
        "--family",
        default="mlp",
        show_default=True,
        metavar="NAME",
        help="linear, mlp, cnn, rnn, transformer, or one the workers bring.",
    ),
    click.option("--target", required=True, metavar="COLUMN", help="The column to predict."),
    click.option("--features", metavar="COLUMN,...", help="The columns to predict from; default: all but the target."),
    click.option("--task", type=click.Choice(TASKS), help="Default: auto, by the target's type."),
    click.option("--embedding-width", type=int, metavar="N", help="Of --task embedding: numbers in one; default: 128."),
    click.option("--contrast-temperature", type=float, help="Of --task embedding: in its loss; default: 0.1."),
    click.option("--alias", metavar="NAME", help="Points at the new version once it is there."),
    click.option("--promote-if", metavar="CONDITION", help="Only if so: 'val_accuracy >= production'."),
    click.option("--epochs", type=int, help="Default: 10."),
    click.option("--batch-size", type=int, metavar="ROWS", help="Default: 128."),
    click.option("--learning-rate", type=float, help="Default: 0.001."),
    click.option("--weight-decay", type=float, help="Default: 0."),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS, case_sensitive=False), help="Default: adam."),
    click.option("--momentum", type=float, help="Of sgd and rmsprop; default: 0."),
    click.option("--nesterov/--no-nesterov", default=None, help="Of sgd with a momentum: look ahead; default: no."),
    click.option("--betas", type=float, nargs=2, help="Of adam, adamw, nadam and radam: two numbers, as 0.9 0.999."),
    click.option("--eps", type=float, help="Added to the divisor, of all but sgd."),
    click.option("--amsgrad/--no-amsgrad", default=None, help="Of adam and adamw; default: no."),
    click.option("--alpha", type=float, help="Of rmsprop: what is kept of the mean square."),
    click.option("--centered/--no-centered", default=None, help="Of rmsprop; default: no."),
    click.option("--validation", metavar="FRACTION|FILE", help="Rows to measure each epoch on; default: 0.1."),
    click.option("--test", metavar="FRACTION|FILE", help="Rows to measure the end on, once; default: 0."),
    click.option(
        "--split", metavar="COLUMN", help="Says of each row: train, validation or test; in place of these two."
    ),
    click.option("--stratify/--no-stratify", default=None, help="Draw from each class in proportion; default: yes."),
    click.option("--loss", metavar="NAME", help="Default: cross_entropy of classes, mse of numbers."),
    click.option("--label-smoothing", type=float, help="Of cross_entropy; default: 0."),
    click.option(
        "--class-weights",
        multiple=True,
        metavar="LABEL=WEIGHT",
        help="Or balanced: --class-weights spam=5",
    ),
    click.option("--beta", type=float, help="Of smooth_l1: errors below it count squared; default: 1."),
    click.option("--delta", type=float, help="Of huber, likewise; default: 1."),
    click.option("--init", metavar="NAME", help="Of the weights; default: default, as the family has them."),
    click.option("--init-std", type=float, help="Of the inits normal and trunc_normal; default: 0.02."),
    click.option("--metrics", multiple=True, metavar="NAME", help="To measure; default: accuracy, or mae and r2."),
    click.option(
        "--train-metrics/--no-train-metrics",
        default=None,
        help="Of the rows to train on, too; default: no.",
    ),
    click.option("--schedule", type=click.Choice(SCHEDULES), help="Of the learning rate; default: constant."),
    click.option("--warmup-steps", type=int, help="In which the learning rate grows; default: 0."),
    click.option("--step-size", type=int, metavar="EPOCHS", help="Of the schedule step; default: 10."),
    click.option("--gamma", type=float, help="Of the schedules step and plateau; default: 0.1."),
    click.option("--patience", type=int, metavar="EPOCHS", help="Of the schedule plateau; default: 10."),
    click.option("--early-stopping", type=int, metavar="EPOCHS", help="End when it gets no better for so long."),
    click.option("--monitor", metavar="METRIC", help="What early stopping watches; default: val_loss."),
    click.option("--accumulate", type=int, metavar="BATCHES", help="Added up to one step; default: 1."),
    click.option("--clip-grad-norm", type=float, help="The largest norm of a step's gradients; default: none."),
    click.option("--precision", type=click.Choice(PRECISIONS), help="Of the network's work; default: auto, fp32."),
    click.option("--devices", type=int, metavar="N", help="Of one worker, to train on together; default: 1."),
    click.option("--strategy", type=click.Choice(STRATEGIES), help="Of several devices; default: ddp."),
    click.option("--base", metavar="MODEL", help="Begin with the weights of this version."),
    click.option(
        "--freeze", multiple=True, metavar="PATTERN", help="Parameters that stay as they are: --freeze '0.*'."
    ),
    click.option("--teacher", metavar="MODEL", help="Learn from this version, too."),
    click.option("--temperature", type=float, help="Of the teacher's outputs; default: 2.0."),
    click.option("--mix", type=float, help="How much the teacher counts, 0 to 1; default: 0.5."),
    click.option("--checkpoint-seconds", type=float, help="Between two checkpoints; default: 30."),
    click.option("--checkpoint-steps", type=int, help="Between two checkpoints; default: none by steps."),
    click.option("--keep-checkpoints", type=int, help="So many at most; default: 1."),
    click.option("--standardize/--no-standardize", default=None, help="Scale each feature; default: yes."),
    click.option("--seed", type=int, help="Default: 0."),
    click.option(
        "--set", "config", multiple=True, metavar="KEY=VALUE", help="Tell the family, in JSON: --set hidden=[128,64]"
    ),
    click.option(
        "--augment",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change training images: --augment horizontal_flip=0.5",
    ),
    click.option(
        "--tokenizer",
        multiple=True,
        metavar="KEY=VALUE",
        help="How texts become ids: --tokenizer kind=bpe --tokenizer length=128, or --tokenizer version=news:1",
    ),
    click.option(
        "--stream/--no-stream", default=None, help="Read the file again in each epoch; default: if it is large."
    ),
    click.option("--shuffle-window", type=int, metavar="ROWS", help="Of a stream: rows that are shuffled together."),
)


def training_options(function: F) -> F:
    """The argument DATA, the options of a training, and those of every job."""
    function = job_options(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return click.argument("data")(function)


def training_request(given: Mapping[str, object]) -> dict[str, object]:
    """Those options that were given, as :meth:`Client.train` takes them."""
    asked = explicit_options({name: value for name, value in given.items() if name not in _READ_HERE})
    for name in ("validation", "test"):
        if name in asked:
            asked[name] = _fraction_or_file(str(asked[name]))
    for name, option in _SETTINGS.items():
        settings = given[name]
        if isinstance(settings, tuple) and settings:
            balanced = name == "class_weights" and settings == ("balanced",)
            asked[name] = "balanced" if balanced else parse_config(settings, option)
    features = given["features"]
    if isinstance(features, str):
        asked["features"] = tuple(name.strip() for name in features.split(","))
    return asked


def _fraction_or_file(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
