"""What a caller can ask of a training: one component for each concern, and the spec that puts them together."""

from longshore.shared.specs.train.checkpoints import CheckpointConfig
from longshore.shared.specs.train.data import DataConfig
from longshore.shared.specs.train.distillation import DistillationConfig
from longshore.shared.specs.train.distributed import DistributedConfig
from longshore.shared.specs.train.early_stopping import EarlyStoppingConfig
from longshore.shared.specs.train.fine_tuning import FineTuningConfig
from longshore.shared.specs.train.initialization import InitializationConfig
from longshore.shared.specs.train.loop import LoopConfig, StepConfig
from longshore.shared.specs.train.loss import LossConfig
from longshore.shared.specs.train.metrics import MetricsConfig
from longshore.shared.specs.train.optimizer import OptimizerConfig
from longshore.shared.specs.train.schedule import ScheduleConfig
from longshore.shared.specs.train.spec import TrainSpec
from longshore.shared.specs.train.task import TaskConfig

__all__ = [
    "CheckpointConfig",
    "DataConfig",
    "DistillationConfig",
    "DistributedConfig",
    "EarlyStoppingConfig",
    "FineTuningConfig",
    "InitializationConfig",
    "LoopConfig",
    "LossConfig",
    "MetricsConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "StepConfig",
    "TaskConfig",
    "TrainSpec",
]
