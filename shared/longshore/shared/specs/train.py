"""What can be asked of a training."""

from __future__ import annotations

from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import Field, JsonValue, field_validator

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.augment import Augment
from longshore.shared.specs.class_weights import ClassWeights, read_weights
from longshore.shared.specs.initialization import InitName, check_init
from longshore.shared.specs.jobs import Input, Spec
from longshore.shared.specs.losses import LossName, check_loss, short_name
from longshore.shared.specs.optimizers import Optimizer, check_arguments
from longshore.shared.specs.tokenizer import Tokenizer

#: Of rows, drawn by the seed.
Fraction = Annotated[float, Field(ge=0, lt=1)]

#: What the target can be taken for.
TrainTask = Literal["auto", "classification", "regression", "multilabel", "embedding"]
#: What can be measured of classifiers, of regressions, of several labels a row, and of embeddings.
OfClasses = Literal["accuracy", "precision", "recall", "f1", "auroc", "perplexity"]
OfNumbers = Literal["mae", "mse", "rmse", "r2"]
OfLabels = Literal["accuracy", "subset_accuracy", "precision", "recall", "f1", "micro_f1", "auroc"]
OfVectors = Literal["recall_at_1"]
Measure = OfClasses | OfNumbers | OfLabels | OfVectors
_MEASURES = {
    "classification": ("classes", get_args(OfClasses)),
    "regression": ("numbers", get_args(OfNumbers)),
    "multilabel": ("several labels a row", get_args(OfLabels)),
    "embedding": ("embeddings", get_args(OfVectors)),
}


class TrainSpec(Spec):
    """Train one version of a model."""

    model: str
    family: str
    data: Input
    #: The column to predict. Strings are class labels; so are integers, unless ``task`` says otherwise. Lists of
    #: strings are sets of labels.
    target: str
    #: ``multilabel``: any number of labels a row, also none. ``embedding``: vectors that are near each other for rows
    #: with the same label.
    task: TrainTask = "auto"
    #: Of an embedding: the numbers in one.
    embedding_width: Annotated[int, Field(ge=1, le=65_536)] = 128
    #: Of an embedding: what the cosines of vectors are divided by in its loss.
    contrast_temperature: Annotated[float, Field(gt=0, le=1000)] = 0.1
    #: The columns to predict from; ``None`` takes every column but the target.
    features: tuple[str, ...] | None = None
    #: Rows held out to measure each epoch on: the fraction of ``data`` drawn by ``seed`` (0 holds none out), or rows of
    #: their own.
    validation: Fraction | Input = 0.1
    #: Rows that nothing but the last measurement sees, given like ``validation``.
    test: Fraction | Input = 0.0
    #: Instead of both: the column that says of each row whether it is ``train``, ``validation`` or ``test``.
    split: str | None = None
    #: Whether fractions are drawn from each class in proportion; ``None``: where there are classes.
    stratify: bool | None = None
    #: Random changes of the images that are trained on.
    augment: Augment | None = None
    #: How a column of text becomes ids; ``tokenizer_digest`` is what the version that it is of meant then.
    tokenizer: Tokenizer | None = None
    tokenizer_digest: str | None = None
    #: Read the data again in each epoch, and never all of it into memory; ``None``: where it is large.
    stream: bool | None = None
    #: Of a stream: rows that are shuffled together; ``None``: as many as make 128 MiB.
    shuffle_window: Annotated[int, Field(ge=1)] | None = None
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.0
    #: Also as PyTorch writes it, such as ``AdamW``. :mod:`longshore.shared.specs.optimizers` lists the arguments.
    optimizer: Optimizer = "adam"
    #: Of SGD and RMSprop; the others have none.
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: Of SGD: look ahead by the momentum.
    nesterov: bool = False
    #: Of Adam, AdamW, NAdam and RAdam: what is kept of the mean gradient and of its square; ``None``: 0.9 and 0.999.
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] | None = None
    #: Of all but SGD: what is added to the divisor; ``None``: 1e-8, of Adagrad 1e-10.
    eps: Annotated[float, Field(gt=0, le=1)] | None = None
    #: Of Adam and AdamW: divide by the largest mean square so far.
    amsgrad: bool = False
    #: Of RMSprop: what is kept of the mean square; ``None``: 0.99.
    alpha: Annotated[float, Field(ge=0, lt=1)] | None = None
    #: Of RMSprop: divide by the deviation of the gradient, not by its mean square.
    centered: bool = False
    #: Also as PyTorch writes it, such as ``HuberLoss``; ``None``: cross_entropy of classes, mse of numbers.
    loss: LossName | None = None
    #: Of cross_entropy: the part of each target that is spread evenly over all classes.
    label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0
    #: Of cross_entropy, of the rows that are trained on: ``balanced`` (by how many rows each class has), or weights by
    #: label.
    class_weights: ClassWeights | None = None
    #: Of smooth_l1, in the target's unit: errors below it count squared; ``None``: 1.
    beta: Annotated[float, Field(gt=0, le=1e9)] | None = None
    #: Of huber, likewise.
    delta: Annotated[float, Field(gt=0, le=1e9)] | None = None
    #: How weights of two or more dimensions begin; biases are 0: see :mod:`longshore.shared.specs.initialization`;
    #: ``default``: as the family has them. What ``base`` brings comes after.
    init: InitName = "default"
    #: Of normal and trunc_normal: the standard deviation; ``None``: 0.02.
    init_std: Annotated[float, Field(gt=0, le=1000)] | None = None
    #: What is measured on held-out rows besides the loss; ``None``: accuracy, or mae and r2; of several labels a row
    #: accuracy and f1, of embeddings recall_at_1.
    metrics: tuple[Measure, ...] | None = None
    #: Measure ``metrics`` on the rows to train on, too, after each epoch: one more pass over them, without changes.
    train_metrics: bool = False
    #: How the learning rate changes: by step (cosine, linear, one_cycle) over all epochs, or by epoch (step, plateau).
    schedule: Literal["constant", "step", "cosine", "linear", "one_cycle", "plateau"] = "constant"
    #: Steps in which the learning rate first grows to its full size.
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    #: Of the schedule ``step``: epochs between two changes.
    step_size: Annotated[int, Field(ge=1)] = 10
    #: Of the schedules ``step`` and ``plateau``: what the learning rate is multiplied by.
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    #: Of the schedule ``plateau``: epochs without a better loss before the learning rate is lowered.
    patience: Annotated[int, Field(ge=0)] = 10
    #: Epochs without a better ``monitor`` after which the training ends, with the weights of its best epoch.
    early_stopping: Annotated[int, Field(ge=1)] | None = None
    monitor: str = "val_loss"
    #: Batches whose gradients are added up to one step; their mean is that of one batch of all of their rows.
    accumulate: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    #: The norm that all gradients of a step together are scaled down to; ``None`` leaves them as they are.
    clip_grad_norm: Annotated[float, Field(gt=0)] | None = None
    #: What the network computes in; the weights stay float32. ``auto`` is fp32. fp16 is for GPUs.
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    #: Seconds between two checkpoints; ``None`` for none by time.
    checkpoint_seconds: Annotated[float, Field(gt=0)] | None = 30.0
    #: Steps between two checkpoints; ``None`` for none by steps.
    checkpoint_steps: Annotated[int, Field(ge=1)] | None = None
    #: Checkpoints a running job has at most; one stays when it has succeeded, to train on from. 0 for none at all.
    keep_checkpoints: Annotated[int, Field(ge=0, le=1000)] = 1
    #: The version whose weights the training begins with, wherever they fit; ``base_digest`` is what it meant then.
    base: str | None = None
    base_digest: str | None = None
    #: Names of parameters that stay as they are, with ``*`` for any part: ``0.*``.
    freeze: tuple[str, ...] = ()
    #: The version that is learned from besides the targets; ``teacher_digest`` is what it meant then.
    teacher: str | None = None
    teacher_digest: str | None = None
    #: What outputs are divided by before a network is compared with its teacher.
    temperature: Annotated[float, Field(gt=0, le=1000)] = 2.0
    #: How much the teacher counts against the targets, 0 to 1.
    mix: Annotated[float, Field(ge=0, le=1)] = 0.5
    #: Devices of one worker that it runs on, a process on each; ``batch_size`` is of all together.
    devices: Annotated[int, Field(ge=1, le=64)] = 1
    #: Of several devices: each holds the whole network (``ddp``), or a part of it (``fsdp``).
    strategy: Literal["ddp", "fsdp"] = "ddp"
    #: The job whose training goes on; ``epochs`` counts those that it has done.
    extends: UUID | None = None
    #: Scale each feature to mean 0 and standard deviation 1, as measured on the training rows.
    standardize: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    #: What the family is told.
    config: dict[str, JsonValue] = Field(default_factory=dict)
    #: Points at the new version once it is committed.
    alias: str | None = None
    #: Only if this condition on metrics holds; see :mod:`longshore.shared.conditions.language`.
    promote_if: str | None = None

    @field_validator("optimizer", mode="before")
    @classmethod
    def _read_name(cls, value: object) -> object:
        """PyTorch's own spelling of a name is that name."""
        return value.lower() if isinstance(value, str) else value

    @field_validator("loss", mode="before")
    @classmethod
    def _read_loss(cls, value: object) -> object:
        """PyTorch's own spelling of a name is that name."""
        return short_name(value) if isinstance(value, str) else value

    @field_validator("init", mode="before")
    @classmethod
    def _read_init(cls, value: object) -> object:
        """PyTorch's own names end with an underscore."""
        return value.lower().rstrip("_") if isinstance(value, str) else value

    @field_validator("class_weights", mode="before")
    @classmethod
    def _read_weights(cls, value: object) -> object:
        """Labels are text here, whatever they are in the data."""
        return read_weights(value)

    @property
    def loss_arguments(self) -> dict[str, object]:
        """What is given to the loss: PyTorch's arguments by their names, and the class weights."""
        names = ("label_smoothing", "class_weights", "beta", "delta")
        return {name: given for name in names if (given := getattr(self, name)) != TrainSpec.model_fields[name].default}

    @property
    def optimizer_arguments(self) -> dict[str, object]:
        """What is given to the optimizer beside the learning rate and the weight decay, by PyTorch's names."""
        names = ("momentum", "nesterov", "betas", "eps", "amsgrad", "alpha", "centered")
        return {name: given for name in names if (given := getattr(self, name)) != TrainSpec.model_fields[name].default}

    def _check_schedule(self) -> None:
        of = {"step_size": ("step",), "gamma": ("step", "plateau"), "patience": ("plateau",)}
        for name, schedules in of.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.schedule not in schedules:
                raise InvalidInput(
                    name, f"{getattr(self, name)}: of the schedule {' or '.join(schedules)}, not {self.schedule}"
                )
        if self.warmup_steps and self.schedule == "one_cycle":
            raise InvalidInput("warmup_steps", f"{self.warmup_steps}: one_cycle warms up by itself; leave it out")
        held_out = self.split is not None or not isinstance(self.validation, float) or self.validation > 0
        if self.early_stopping is not None and self.monitor.startswith("val_") and not held_out:
            raise InvalidInput(
                "early_stopping", f"{self.monitor} needs held-out rows; give validation, or leave it out"
            )
        if self.early_stopping is None and self.monitor != "val_loss":
            raise InvalidInput("monitor", f"{self.monitor!r}: it is what early_stopping watches; give that, too")

    def _check_embedding(self) -> None:
        if self.task == "embedding":
            if self.teacher is not None:
                raise InvalidInput(
                    "teacher", f"{self.teacher}: an embedding learns from its targets alone; leave it out"
                )
            return
        for name in ("embedding_width", "contrast_temperature"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise InvalidInput(name, f"{getattr(self, name)}: of task='embedding' alone, and it is {self.task}")

    def _check_measures(self) -> None:
        """Where the task is said; else the worker tells it from the target."""
        what, known = _MEASURES.get(self.task, ("", ()))
        for name in self.metrics or ():
            if known and name not in known:
                raise InvalidInput("metrics", f"{name!r} is none of {what}; there are {', '.join(known)}")

    def check(self) -> None:
        """Whether the options go together.

        :raises InvalidInput: an argument is given to an optimizer, a loss or an ``init`` without it, or no rows are
            left to train on.
        """
        self._check_schedule()
        self._check_embedding()
        self._check_measures()
        held_out = sum(part for part in (self.validation, self.test) if isinstance(part, float))
        if held_out >= 1:
            raise InvalidInput(
                "test", f"{self.test} and the validation of {self.validation} leave no rows to train on; give less"
            )
        check_arguments(self.optimizer, self.optimizer_arguments)
        check_loss(self.loss, self.loss_arguments, self.task)
        check_init(self.init, self.init_std)
        self._check_devices()

    def _check_devices(self) -> None:
        if self.batch_size < self.devices:
            raise InvalidInput(
                "devices", f"{self.devices}: a batch of {self.batch_size} rows leaves some without any; ask for fewer"
            )
        if self.strategy != "ddp" and self.devices == 1:
            raise InvalidInput("strategy", f"{self.strategy!r}: it is for several devices; give devices, too")
        if self.strategy == "fsdp" and self.precision == "fp16":
            raise InvalidInput("precision", "fp16: not with the strategy fsdp; use bf16 or fp32")
        if self.devices > 1 and self.class_weights is not None:
            raise InvalidInput("class_weights", f"each of {self.devices} devices would weigh its rows by themselves")
        if self.devices > 1 and self.task == "embedding":
            raise InvalidInput("devices", f"{self.devices}: an embedding compares all rows of a batch; use one")
