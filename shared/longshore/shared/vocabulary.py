"""The words that callers, specs, the ledger and workers share: kinds, states, formats, names of options.

Each value is stored as it stands here (in Postgres, in specs and in manifests), so none of them may change. The module
imports nothing but the standard library; the command line reads it to show a help text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, TypeAlias, get_args


class State(StrEnum):
    """The state of a job or of a shard: ``queued -> running -> succeeded | failed | cancelled``.

    A job in a chain begins as ``waiting``. It is queued when the job before it has succeeded.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether only a retry can change the state."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class JobKind(StrEnum):
    """What a job does. Stored in ``jobs.kind``."""

    INFER = "infer"
    TRAIN = "train"
    EVALUATE = "evaluate"
    PROMOTE = "promote"
    TUNE = "tune"
    CROSS_VALIDATE = "cross_validate"
    GENERATE = "generate"


class Action(StrEnum):
    """What a worker does for one shard. Stored in ``shards.action``.

    Most are named as the kind of their job. The first shard of a file whose rows are not counted yet has the action
    ``plan``: it adds the shards of its job.
    """

    INFER = "infer"
    TRAIN = "train"
    EVALUATE = "evaluate"
    PROMOTE = "promote"
    TUNE = "tune"
    CROSS_VALIDATE = "cross_validate"
    GENERATE = "generate"
    PLAN = "plan"


class RuntimeName(StrEnum):
    """What executes a version. Stored in its manifest."""

    FAMILY = "family"
    ONNX = "onnx"
    PT2 = "pt2"
    HUGGINGFACE = "huggingface"


#: The form of the lines that processes log.
LogFormat: TypeAlias = Literal["text", "json"]
LOG_FORMATS: Final = get_args(LogFormat)
#: Which workers run a job.
Device: TypeAlias = Literal["auto", "cpu", "gpu"]
#: The format of an input file or folder.
DataFormat: TypeAlias = Literal["parquet", "csv", "jsonl", "arrow", "npy", "npz", "hdf5", "images", "txt"]
#: The type in which a network computes.
Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]

#: What runs the network of a language model. ``auto``: vLLM on a GPU if it is installed, else transformers.
EngineName: TypeAlias = Literal["auto", "transformers", "vllm"]

#: What the target of a training is.
TrainTask: TypeAlias = Literal[
    "auto", "classification", "regression", "multilabel", "embedding", "language_model", "preference"
]

Optimizer: TypeAlias = Literal["adam", "adamw", "sgd", "rmsprop", "adagrad", "nadam", "radam"]
#: PyTorch's own spelling of the same optimizers.
TorchOptimizer: TypeAlias = Literal["Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "NAdam", "RAdam"]

LossName: TypeAlias = Literal["cross_entropy", "mse", "l1", "smooth_l1", "huber", "dpo"]
#: PyTorch's own spelling of the same losses.
TorchLossName: TypeAlias = Literal["CrossEntropyLoss", "MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"]

InitName: TypeAlias = Literal[
    "default",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "orthogonal",
    "normal",
    "trunc_normal",
]
#: PyTorch's own spelling of the same functions.
TorchInitName: TypeAlias = Literal[
    "xavier_uniform_",
    "xavier_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "orthogonal_",
    "normal_",
    "trunc_normal_",
]

#: How the learning rate changes during a training.
Schedule: TypeAlias = Literal["constant", "step", "cosine", "linear", "one_cycle", "plateau"]
#: How a training uses several devices.
Strategy: TypeAlias = Literal["ddp", "fsdp"]

#: The metrics of each task.
ClassificationMetric: TypeAlias = Literal["accuracy", "precision", "recall", "f1", "auroc", "perplexity"]
RegressionMetric: TypeAlias = Literal["mae", "mse", "rmse", "r2"]
MultilabelMetric: TypeAlias = Literal["accuracy", "subset_accuracy", "precision", "recall", "f1", "micro_f1", "auroc"]
EmbeddingMetric: TypeAlias = Literal["recall_at_1"]
LanguageMetric: TypeAlias = Literal["perplexity"]
PreferenceMetric: TypeAlias = Literal["reward_accuracy", "reward_margin", "chosen_reward", "rejected_reward"]
Metric: TypeAlias = (
    ClassificationMetric | RegressionMetric | MultilabelMetric | EmbeddingMetric | LanguageMetric | PreferenceMetric
)

#: How a tokenizer divides texts.
TokenizerKind: TypeAlias = Literal["words", "wordpiece", "bpe"]

#: How the parameters of the next trial are chosen.
Sampler: TypeAlias = Literal["tpe", "random", "grid"]
#: When a trial ends early.
Pruner: TypeAlias = Literal["none", "median", "quarter"]

#: What a column of a table is preprocessed as; ``drop`` leaves it out.
ColumnKind: TypeAlias = Literal["number", "category", "datetime", "text", "drop"]
#: How the network gets a category: a number for each, or a vector that is learned.
#: How the labels of tokens become spans.
Aggregation: TypeAlias = Literal["none", "simple", "first", "average", "max"]
Encoding: TypeAlias = Literal["one_hot", "embedding"]
#: How a number is scaled before it is standardised.
Scale: TypeAlias = Literal["none", "log", "quantile"]
#: What is read from a date: the days since a first date; the time of the year and the time of the day, each as a point
#: on a circle; the day of the week.
DatePart: TypeAlias = Literal["time", "season", "weekday", "hour"]
