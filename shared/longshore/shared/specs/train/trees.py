"""The options that families of trees do not have."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train.distillation import DistillationConfig
from longshore.shared.specs.train.distributed import DistributedConfig
from longshore.shared.specs.train.fine_tuning import FineTuningConfig
from longshore.shared.specs.train.initialization import InitializationConfig
from longshore.shared.specs.train.loop import StepConfig
from longshore.shared.specs.train.optimizer import OptimizerConfig
from longshore.shared.specs.train.schedule import ScheduleConfig
from longshore.shared.specs.validation import shorten

#: Components of which no option is for trees.
_OF_NETWORKS: tuple[type[BaseModel], ...] = (
    OptimizerConfig,
    ScheduleConfig,
    StepConfig,
    InitializationConfig,
    FineTuningConfig,
    DistillationConfig,
    DistributedConfig,
)
#: Further options that are not for trees.
_OTHERS = ("batch_size", "augment", "tokenizer", "label_smoothing", "beta", "delta", "embedding_width")
#: What to do instead, if not to leave the option out.
_INSTEAD = {
    "learning_rate": "give it as config.learning_rate, which is 0.1 by default",
    "base": "extend the job of a version to add trees to it",
    "stream": "the rows are held in memory; leave it out",
    "shuffle_window": "the rows are held in memory; leave it out",
}
#: The losses and tasks of trees.
_LOSSES, _TASKS = ("cross_entropy", "mse"), ("auto", "classification", "regression")


def check_tree_options(family: str, options: Mapping[str, object]) -> None:
    """Check the options of a training of trees.

    :param options: those that differ from their defaults.
    :raises InvalidInput: an option is for networks; names it.
    """
    for name in (*(name for part in _OF_NETWORKS for name in part.model_fields), *_OTHERS, "stream", "shuffle_window"):
        if options.get(name):
            instead = _INSTEAD.get(name, "leave it out")
            raise InvalidInput(name, f"{shorten(options[name])}: family {family!r} grows trees; {instead}")
    loss, task = options.get("loss"), options.get("task", "auto")
    if loss is not None and loss not in _LOSSES:
        raise InvalidInput("loss", f"{loss!r}: family {family!r} has {' and '.join(_LOSSES)}; leave it out")
    if task not in _TASKS:
        raise InvalidInput("task", f"{task!r}: family {family!r} predicts one class or one number; use mlp")
