"""The options of families that train language models: those that they do not have, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train.distillation import DistillationConfig
from longshore.shared.specs.train.distributed import DistributedConfig
from longshore.shared.specs.train.loss import LossConfig
from longshore.shared.specs.validation import shorten

#: Components of which no option is for language models.
_OF_OTHERS: tuple[type[BaseModel], ...] = (LossConfig, DistillationConfig, DistributedConfig)
#: Further options that are not for language models.
_OTHERS = (
    *("stratify", "augment", "preprocess", "shuffle_window", "train_metrics"),
    *("embedding_width", "contrast_temperature"),
)
#: Those that the task preference has.
_OF_PREFERENCES = frozenset({*LossConfig.model_fields, "train_metrics"})
#: What to do instead, if not to leave the option out.
_INSTEAD = {
    "devices": "it trains on one device; leave it out",
    "shuffle_window": "all blocks are shuffled together; leave it out",
    "train_metrics": "train_loss is the loss of each text as it is trained on; leave it out",
}
#: What an option is if the caller does not give it, for weights that begin at random, for those of ``base``, and for
#: an adapter. Loshchilov and Hutter, https://arxiv.org/abs/1711.05101; the rates are those of GPT-2's size and of
#: Hu et al., https://arxiv.org/abs/2106.09685.
_COMMON: Mapping[str, object] = {
    **{"task": "language_model", "standardize": False, "optimizer": "adamw"},
    **{"batch_size": 16, "clip_grad_norm": 1.0},
}
_FRESH: Mapping[str, object] = {**_COMMON, "weight_decay": 0.1}
_CONTINUED: Mapping[str, object] = {**_COMMON, "learning_rate": 2e-5, "epochs": 3}
_ADAPTER: Mapping[str, object] = {**_COMMON, "learning_rate": 2e-4, "epochs": 3}
#: For the task preference: a smaller rate, as of Rafailov et al., https://arxiv.org/abs/2305.18290.
_PREFERENCES: Mapping[str, object] = {"batch_size": 8, "epochs": 1}
_PREFERENCE_RATES = {"causal_lm": 1e-6, "lora": 1e-5}


def language_defaults(family: str, *, continued: bool, task: object = "language_model") -> Mapping[str, object]:
    """The defaults of options that differ from those of other families.

    :param continued: whether the training begins with the weights of a version.
    :param task: as the caller gives it.
    """
    defaults = _ADAPTER if family == "lora" else _CONTINUED if continued else _FRESH
    if task == "preference":
        return {**defaults, **_PREFERENCES, "learning_rate": _PREFERENCE_RATES[family]}
    return defaults


def check_language_options(family: str, options: Mapping[str, object]) -> None:
    """Check the options of a training of a language model.

    :param options: those that differ from their defaults.
    :raises InvalidInput: an option is not for language models, or ``base`` is missing; names it.
    """
    task = options.get("task", "auto")
    for name in (*(name for part in _OF_OTHERS for name in part.model_fields), *_OTHERS):
        if options.get(name) and not (task == "preference" and name in _OF_PREFERENCES):
            instead = _INSTEAD.get(name, "leave it out")
            raise InvalidInput(name, f"{shorten(options[name])}: family {family!r} trains a language model; {instead}")
    if task not in ("auto", "language_model", "preference"):
        raise InvalidInput("task", f"{task!r}: family {family!r} has the tasks language_model and preference; use one")
    if task == "preference":
        _check_preference_options(options)
    if family == "lora":
        if options.get("base") is None:
            raise InvalidInput("base", "required, but missing: an adapter adapts a version; name it, such as chat:1")
        if options.get("freeze"):
            raise InvalidInput("freeze", "an adapter changes no weights of its base; leave it out")
    if options.get("base") is not None:
        for name in ("tokenizer", "init"):
            if options.get(name):
                raise InvalidInput(name, f"{shorten(options[name])}: it is that of {options['base']}; leave it out")


def _check_preference_options(options: Mapping[str, object]) -> None:
    if options.get("base") is None:
        raise InvalidInput(
            "base", "required, but missing: preferences change a version that writes answers; name it, such as chat:1"
        )
    smoothing = options.get("label_smoothing", 0.0)
    if isinstance(smoothing, float) and smoothing >= 0.5:
        raise InvalidInput("label_smoothing", f"{smoothing}: of dpo it is less than 0.5; give less")
