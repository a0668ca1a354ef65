"""The spec of a training job."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, JsonValue

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option
from longshore.shared.specs.families import LANGUAGE_MODELS, TREES
from longshore.shared.specs.losses import check_loss
from longshore.shared.specs.train.checkpoints import CheckpointConfig
from longshore.shared.specs.train.data import DataConfig
from longshore.shared.specs.train.distillation import DistillationConfig
from longshore.shared.specs.train.distributed import DistributedConfig
from longshore.shared.specs.train.early_stopping import EarlyStoppingConfig
from longshore.shared.specs.train.fine_tuning import FineTuningConfig
from longshore.shared.specs.train.initialization import InitializationConfig
from longshore.shared.specs.train.language import check_language_options
from longshore.shared.specs.train.loop import LoopConfig, StepConfig
from longshore.shared.specs.train.loss import LossConfig
from longshore.shared.specs.train.metrics import MetricsConfig
from longshore.shared.specs.train.optimizer import OptimizerConfig
from longshore.shared.specs.train.schedule import ScheduleConfig
from longshore.shared.specs.train.task import TaskConfig
from longshore.shared.specs.train.trees import check_tree_options


# The last base comes first in the JSON text of a spec, and the class itself comes last. The digest of a request, which
# makes its idempotency key mean the same request, depends on that order: add a component or a field at its end.
class TrainSpec(
    DistributedConfig,
    DistillationConfig,
    FineTuningConfig,
    CheckpointConfig,
    StepConfig,
    EarlyStoppingConfig,
    ScheduleConfig,
    MetricsConfig,
    InitializationConfig,
    LossConfig,
    OptimizerConfig,
    LoopConfig,
    DataConfig,
    TaskConfig,
):
    """Model, seed and promotion."""

    #: The job whose training this one continues; ``epochs`` includes the epochs of that job.
    extends: Annotated[UUID | None, NOT_AN_OPTION] = None
    standardize: bool = True
    """Scale each feature to mean 0 and standard deviation 1, as measured on the training rows."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Determines the split, the first weights, the order of the rows and the dropout."""
    config: Annotated[
        dict[str, JsonValue],
        Option(keyword="Mapping[str, Json]", flag="--set", metavar="KEY=VALUE", reader="settings"),
    ] = Field(default_factory=dict)
    """The configuration of the family, with values in JSON, such as hidden=[128,64]."""
    alias: Annotated[str | None, Option(metavar="NAME")] = None
    """An alias that points at the new version as soon as it exists."""
    promote_if: Annotated[str | None, Option(metavar="CONDITION")] = None
    """The condition on metrics under which ``alias`` moves, such as 'val_accuracy >= production'."""

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that a training of a language model reads: of the prompts, if any, and of the answers."""
        rejected = (self.rejected,) if self.task == "preference" else ()
        return (*(self.features or ()), self.target, *rejected)

    def check(self) -> None:
        """Check that the options fit each other.

        :raises InvalidInput: an option does not fit; names it.
        """
        self.check_family_options()
        self.check_schedule()
        self.check_early_stopping(self.has_validation)
        self.check_teacher(self.task)
        self.check_task()
        self.check_metrics(self.task)
        self.check_held_out()
        self.check_optimizer()
        check_loss(self.loss, self.loss_arguments, self.task)
        self.check_initialization()
        self._check_devices()

    def check_family_options(self) -> None:
        """:raises InvalidInput: the family does not have one of the options."""
        if self.family in TREES:
            check_tree_options(self.family, self.model_dump(exclude_defaults=True, exclude={"data"}))
        if self.family in LANGUAGE_MODELS:
            check_language_options(self.family, self.model_dump(exclude_defaults=True, exclude={"data"}))
        elif self.task in ("language_model", "preference"):
            families = " and ".join(LANGUAGE_MODELS)
            raise InvalidInput("task", f"{self.task!r}: family {self.family!r} writes no text; use {families}")

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
