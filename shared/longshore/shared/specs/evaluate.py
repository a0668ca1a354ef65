"""The result of an evaluation: workers write it as the outcome of the job, producers read it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt, StrictStr, field_validator

from longshore.shared.specs.signature import Task

#: Maximum numbers of classes in the report and in the confusion matrix. Those with the most rows are kept.
MAX_REPORTED_CLASSES, MAX_CONFUSION_CLASSES = 1000, 100
#: Maximum number of unknown labels that are listed.
MAX_UNKNOWN_LABELS = 20
#: Lines of the confusion matrix: labels that the version does not know, and classes beyond the maximum.
UNKNOWN, OTHERS = "(unknown)", "(others)"

#: The start of the names of metrics of the positive class alone.
POSITIVE_PREFIX = "positive_"

#: Metrics in the order in which they are shown.
METRICS = (
    *("accuracy", "subset_accuracy", "precision", "recall", "f1", "micro_f1"),
    *("positive_precision", "positive_recall", "positive_f1", "auroc", "log_loss"),
    *("mae", "mse", "r2"),
    *("exact_match", "token_f1", "rouge_l", "json_validity", "perplexity", "win_rate"),
)

N = TypeVar("N")
#: A class name, as signatures have them.
Label = StrictBool | StrictInt | StrictStr


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ClassReport(_Frozen):
    """The scores of one class, or of one label of multilabel. A rate whose denominator is 0 is 0."""

    label: Label
    precision: float
    recall: float
    f1: float
    #: Rows whose target is this class, or has this label.
    support: int


class ConfusionMatrix(_Frozen):
    """How often rows of each class were predicted as each class."""

    labels: tuple[Label, ...]
    #: ``counts[true][predicted]``, square.
    counts: tuple[tuple[int, ...], ...]


class WorstRow(_Frozen):
    """A row with one of the largest losses."""

    #: Its number in the data, from 0.
    row: int
    #: Multilabel: all labels of the row, in the version's order. As a prediction, those with a probability of at least
    #: 0.5.
    target: Label | float | tuple[Label, ...]
    prediction: Label | float | tuple[Label, ...]
    #: Classification: minus the natural logarithm of the probability given to the target. Regression: squared error.
    #: Multilabel: binary cross entropy, mean over the labels. Generation: 1 minus ``token_f1``.
    loss: float


class Evaluation(_Frozen):
    """A version measured on data.

    Definitions follow scikit-learn (https://scikit-learn.org/stable/modules/model_evaluation.html): ``accuracy``,
    macro averages ``precision``, ``recall`` and ``f1`` over the classes that occur as targets or predictions, ``auroc``
    (one class against the rest, averaged over the classes of which there are rows and others), ``log_loss``; or
    ``mae``, ``mse`` and ``r2``.

    With a positive class also its ``positive_precision``, ``positive_recall`` and ``positive_f1``.

    For generation, means over the rows of the generated text and its expected text, or the best of several:
    ``exact_match`` and ``token_f1`` as in SQuAD (https://arxiv.org/abs/1606.05250), and ``rouge_l``, the F measure of
    the longest common subsequence of words (https://aclanthology.org/W04-1013). Also ``json_validity``, the fraction of
    texts that match the schema, and ``perplexity`` of the expected texts after their prompts, over all of their tokens.
    With a judge ``win_rate`` over another version, in which a tie counts half.

    For multilabel: ``accuracy`` (of all pairs of a row and a label), ``subset_accuracy`` (of rows that are right as a
    whole), averages over all labels ``precision``, ``recall`` and ``f1``, ``micro_f1`` (of all pairs), ``auroc``
    (averaged over the labels that some rows have and others have not) and ``log_loss`` (binary cross entropy, mean over
    rows and labels). A metric that is not defined on the data is left out.
    """

    task: Task
    #: The column that the predictions were compared with.
    target: str
    #: Rows that were measured.
    rows: int
    #: Rows that could not be computed or have no target.
    failed: int
    metrics: dict[str, float]
    #: By metric: the 2.5 % and 97.5 % quantiles of its bootstrap distribution.
    intervals: dict[str, tuple[float, float]]
    #: Classification and multilabel, in the order of the version's labels.
    classes: tuple[ClassReport, ...] = ()
    #: How many classes the version has; ``classes`` holds at most 1,000 of them.
    classes_total: int = 0
    #: Classification; of more than 100 classes, the others are put together.
    confusion_matrix: ConfusionMatrix | None = None
    #: The largest losses first.
    worst: tuple[WorstRow, ...] = ()
    #: Rows whose target is, or has, a label that the version does not know, and the first such labels.
    unknown_rows: int = 0
    unknown_labels: tuple[str, ...] = ()
    #: The positive class, and the least probability at which it is predicted; ``None`` if no class was named.
    positive: Label | None = None
    threshold: float | None = None
    bootstrap: int
    seed: int

    @field_validator("metrics", "intervals")
    @classmethod
    def _in_order(cls, by_metric: dict[str, N]) -> dict[str, N]:
        """Restore the order of ``METRICS``; JSON in Postgres does not preserve it."""
        return {name: by_metric[name] for name in sorted(by_metric, key=_place)}


def _place(name: str) -> tuple[int, str]:
    return (METRICS.index(name) if name in METRICS else len(METRICS)), name
