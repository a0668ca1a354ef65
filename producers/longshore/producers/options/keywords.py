"""The keywords of the client's methods, by method. Generated from the specs; do not edit.

Edit the field of the spec in ``longshore/shared/specs`` and run ``python -m longshore.producers.options.generate``.
"""

# fmt: off
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from pydantic import BaseModel

    from longshore.producers.data import Data
    from longshore.shared.vocabulary import (
        Aggregation,
        ColumnKind,
        DataFormat,
        DatePart,
        Device,
        Encoding,
        EngineName,
        InitName,
        LossName,
        Metric,
        Optimizer,
        Precision,
        Pruner,
        Sampler,
        Scale,
        Schedule,
        Strategy,
        TokenizerKind,
        TorchInitName,
        TorchLossName,
        TorchOptimizer,
        TrainTask,
    )

#: A value that can be written as JSON.
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class SearchInterval(TypedDict, total=False):
    """Numbers to search from ``low`` to ``high``, both included: whole numbers if both are whole."""

    low: int | float
    high: int | float
    log: bool
    """Every order of magnitude is equally likely. Default: False"""
    step: int | float
    """Only ``low``, ``low + step``, and so on. Default: any number, or 1 for whole numbers"""


#: The values to try, by the name of an option, or by ``config.`` and a key of the family.
SearchSpace: TypeAlias = "Mapping[str, Sequence[Json] | SearchInterval | Mapping[str, float | bool]]"


class RandomResizedCropOptions(TypedDict, total=False):
    """A random part of the image, scaled to the whole. Szegedy et al., 2014, https://arxiv.org/abs/1409.4842."""

    scale: tuple[float, float]
    """The smallest and the largest share of the image's area. Default: (0.08, 1.0)."""
    ratio: tuple[float, float]
    """The smallest and the largest ratio of width to height, relative to the image's. Default: (0.75,
    1.3333333333333333).
    """


class RandomCropOptions(TypedDict, total=False):
    """The image, moved within a black border. As for CIFAR in He et al., 2015, https://arxiv.org/abs/1512.03385."""

    padding: int
    """The width of the border on each side, in pixels. Default: 4."""


class ColorJitterOptions(TypedDict, total=False):
    """Random factors, each drawn from 1 - x to 1 + x, of image files; the arithmetic is that of
    https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.ColorJitter.html, in this order.
    """

    brightness: float
    """The strength of the change of brightness. Default: 0.0."""
    contrast: float
    """The strength of the change of contrast. Default: 0.0."""
    saturation: float
    """The strength of the change of saturation; only for images with three channels. Default: 0.0."""


class RandomErasingOptions(TypedDict, total=False):
    """A rectangle, set to the mean of the training rows. Zhong et al., 2017, https://arxiv.org/abs/1708.04896."""

    p: float
    """The probability that an image loses a rectangle. Default: 0.5."""
    scale: tuple[float, float]
    """The smallest and the largest share of the image's area. Default: (0.02, 0.33)."""
    ratio: tuple[float, float]
    """The smallest and the largest ratio of height to width. Default: (0.3, 3.3)."""


class AugmentOptions(TypedDict, total=False):
    """Random changes of each training image, drawn again in each epoch, in the order of these fields. Changes that are
    not given are not made. The names and the defaults are those of torchvision's transforms,
    https://docs.pytorch.org/vision/stable/transforms.html.
    """

    random_resized_crop: RandomResizedCropOptions | None
    """Scale a random part of the image to the whole."""
    random_crop: RandomCropOptions | None
    """Move the image within a black border."""
    horizontal_flip: float
    """The probability that an image is mirrored left to right. Default: 0.0."""
    vertical_flip: float
    """The probability that an image is mirrored upside down. Default: 0.0."""
    rotation: float
    """The largest angle in degrees by which an image is turned about its centre, either way. Corners become black.
    Default: 0.0.
    """
    color_jitter: ColorJitterOptions | None
    """Change brightness, contrast and saturation."""
    random_erasing: RandomErasingOptions | None
    """Replace a rectangle by the mean of the training rows."""


class TokenizerOptions(TypedDict, total=False):
    """A tokenizer that is trained on the training rows, or the tokenizer of an existing version. A string is short for
    ``{"version": ...}``.
    """

    kind: TokenizerKind
    """``words``: whole words and punctuation; all unknown words have one id. ``wordpiece``: subwords, as in BERT
    (https://arxiv.org/abs/1609.08144). ``bpe``: byte-level subwords, as in GPT-2 (https://arxiv.org/abs/1508.07909),
    so that no text is unknown. Default: "words".
    """
    vocabulary: int
    """The largest number of entries, padding included. Default: 20000."""
    length: int | None
    """Tokens that are read of a text; the rest is cut. Default: 256, or the length of the version."""
    lowercase: bool
    """Convert texts to lower case. Default: True."""
    min_frequency: int
    """Words, or pairs of subwords, that occur less often are not in the vocabulary. Default: 2."""
    version: str | None
    """The version whose tokenizer is used. It replaces all options but ``length``."""


class ColumnPreprocessOptions(TypedDict, total=False):
    """How one column is preprocessed. A string is short for ``{"kind": ...}``. What is left out is chosen by the values
    of the rows to train on: see ``docs/how-to/training/tables.md``.
    """

    kind: ColumnKind | None
    """``number``, ``category``, ``datetime``, ``text``, or ``drop`` to leave the column out."""
    missing: Literal["median", "mean", "error"] | float | None
    """Only for numbers and dates: what a missing value becomes, as measured on the rows to train on; a number is taken
    as it is, and only for numbers. ``error``: a row without the value is an error. Default: ``median`` if a value is
    missing in the rows to train on, otherwise ``error``.
    """
    indicator: bool | None
    """Only for numbers and dates: add a number that says whether the value was missing. Default: true if missing values
    are replaced.
    """
    scale: Scale | None
    """Only for numbers: ``none``, ``log`` for sign(x) · log(1 + |x|), or ``quantile`` for the normal score of the value
    among those of the rows to train on. Default: by the skewness of the values.
    """
    encoding: Encoding | None
    """Only for categories: ``one_hot`` or ``embedding``, a learned vector. Default: ``one_hot`` for up to 32."""
    max_categories: int | None
    """Only for categories: how many are told apart, the most frequent. The others are unknown. Default: 1,000."""
    min_count: int | None
    """Only for categories: those in fewer rows are unknown. Default: 2 if there are 100 rows to train on or more,
    otherwise 1.
    """
    width: int | None
    """Only for categories with learned vectors, and texts: the length of a vector. Default: for categories by their
    number, for texts 32.
    """
    parts: list[DatePart] | tuple[DatePart, ...] | None
    """Only for dates: ``time``, ``season``, ``weekday`` and ``hour``. Default: those that differ in the rows to train
    on.
    """
    length: int | None
    """Only for texts: how many words are read of each. Default: as many as 95 % of the texts have, at most 128."""
    buckets: int | None
    """Only for texts: how many buckets words are hashed into. Default: 16,384."""


class PromoteOptions(TypedDict, total=False):
    """The options of every job."""

    priority: int
    """0 to 9; 9 is the most urgent. Default: 4."""
    device: Device
    """Which workers run the job. ``auto`` is a GPU worker if one is alive at submission, else a CPU worker. Default:
    "auto".
    """
    max_attempts: int
    """Attempts at one shard before it fails. Default: 3."""
    timeout: float | None
    """Seconds from submission after which the job is ended; for a job in a chain, from when the job before it has
    succeeded. Default: no limit.
    """
    idempotency_key: str | None
    """A second submission by the same producer with the same key returns the first job."""


class DataJobOptions(PromoteOptions, total=False):
    """The options of every job that reads data."""

    format: DataFormat | None
    """The format of the input file. Default: by its suffix."""


class _TrainingOptions(DataJobOptions, total=False):
    """The options of every training."""

    task: TrainTask
    """What the target is. ``auto`` decides by the type of the target. ``multilabel``: any number of labels for each
    row. ``embedding``: vectors that are close to each other for rows with the same label. ``language_model``: the
    next token of the target, which is a text; only for causal_lm and lora, and their default. ``preference``: which
    of two answers is better, the target or the one in the column ``rejected``; only for causal_lm and lora. Default:
    "auto".
    """
    embedding_width: int
    """Only for the task embedding: the number of dimensions of a vector. Default: 128."""
    contrast_temperature: float
    """Only for the task embedding: the loss divides the cosine similarity of vectors by this number. Default: 0.1."""
    rejected: str
    """Only for the task preference: the column of the answers that are worse than the target. Default: "rejected"."""
    truncate_prompt: bool
    """Only for the task preference: drop the first tokens of prompts that are too long, so that both answers fit the
    context. Otherwise a row that is too long is refused. Default: False.
    """
    features: list[str] | tuple[str, ...] | None
    """The columns to predict from. Default: all but the target."""
    stratify: bool | None
    """Draw the fractions from each class in proportion to its size. Default: true if there are classes."""
    augment: AugmentOptions | None
    """Random changes of the training images, such as horizontal_flip=0.5."""
    tokenizer: TokenizerOptions | str | None
    """How a column of text becomes ids, such as kind=bpe and length=128, or version=news:1 for the tokenizer of a
    version.
    """
    stream: bool | None
    """Read the file again in each epoch instead of holding its rows in memory. Default: true if the file is large."""
    shuffle_window: int | None
    """Only for a stream: how many rows are shuffled together. Default: as many as fit into 128 MiB."""
    preprocess: Mapping[str, ColumnPreprocessOptions | str] | None
    """How columns become numbers, such as color=category, when=datetime or age={"missing": 0}, by column. Default: by
    the values of the rows to train on.
    """
    epochs: int
    """How many times the training passes over its rows. Default: 10."""
    batch_size: int
    """Rows in one batch, over all devices. Default: 128."""
    learning_rate: float
    """The learning rate, at its largest. Default: 0.001."""
    weight_decay: float
    """The weight decay, as PyTorch's optimizer applies it. Default: 0.0."""
    optimizer: Optimizer | TorchOptimizer
    """The optimizer, also as PyTorch writes it (AdamW). Default: "adam"."""
    momentum: float
    """Only for sgd and rmsprop: the momentum. Default: 0.0."""
    nesterov: bool
    """Only for sgd with a momentum: Nesterov momentum. Default: False."""
    betas: tuple[float, float] | None
    """Only for adam, adamw, nadam and radam: decay of the running means of the gradient and of its square. Default: 0.9
    and 0.999.
    """
    eps: float | None
    """Not for sgd: the number added to the divisor. Default: 1e-8; 1e-10 for adagrad."""
    amsgrad: bool
    """Only for adam and adamw: divide by the largest mean square so far. Default: False."""
    alpha: float | None
    """Only for rmsprop: decay of the running mean of the square. Default: 0.99."""
    centered: bool
    """Only for rmsprop: divide by the standard deviation of the gradient instead of its mean square. Default: False."""
    loss: LossName | TorchLossName | None
    """The loss, also as PyTorch writes it (HuberLoss). Default: cross_entropy for classes, mse for numbers, dpo for
    preferences.
    """
    label_smoothing: float
    """For cross_entropy, the share of each target that is spread evenly over all classes. For dpo, the share of rows
    whose preference is taken to be the wrong way round, below 0.5. Default: 0.0.
    """
    class_weights: Literal["balanced"] | Mapping[str, float] | Mapping[int, float] | Mapping[bool, float] | None
    """Only for cross_entropy, and only for the rows that are trained on: ``balanced``, or a weight for each label.
    Labels that are not named weigh 1.
    """
    beta: float | None
    """For smooth_l1, errors below this number, in the unit of the target, count squared; default: 1. For dpo, what the
    logarithms of probability ratios are multiplied by: the larger, the closer to the base; default: 0.1.
    """
    delta: float | None
    """Only for huber: errors below this number, in the unit of the target, count squared. Default: 1."""
    init: InitName | TorchInitName
    """How weights with two or more dimensions are initialised, by PyTorch's name. ``default`` leaves it to the family.
    Biases start at 0. The weights of ``base`` replace these. Default: "default".
    """
    init_std: float | None
    """Only for normal and trunc_normal: the standard deviation. Default: 0.02."""
    metrics: list[Metric] | tuple[Metric, ...] | None
    """What is measured on held-out rows besides the loss. Default: accuracy for classes, mae and r2 for numbers,
    accuracy and f1 for several labels a row, recall_at_1 for embeddings, perplexity for language models, all that
    there are for preferences.
    """
    train_metrics: bool
    """Measure ``metrics`` on the training rows, too, in one more pass after each epoch. Default: False."""
    schedule: Schedule
    """How the learning rate changes: at each step over all epochs (cosine, linear, one_cycle), or by epoch (step,
    plateau). Default: "constant".
    """
    warmup_steps: int
    """Steps in which the learning rate first rises to its full value. Default: 0."""
    step_size: int
    """Only for the schedule step: epochs between two changes. Default: 10."""
    gamma: float
    """Only for the schedules step and plateau: the factor of each change. Default: 0.1."""
    patience: int
    """Only for the schedule plateau: epochs without a better loss before the learning rate changes. Default: 10."""
    early_stopping: int | None
    """Epochs without a better ``monitor`` after which the training ends, with the weights of its best epoch. Default:
    train all epochs.
    """
    monitor: str
    """The metric that ``early_stopping`` watches. Default: "val_loss"."""
    accumulate: int
    """Batches whose gradients are added up for one step. Their mean is that of one batch with all of their rows.
    Default: 1.
    """
    clip_grad_norm: float | None
    """The norm to which all gradients of a step together are scaled down. Default: gradients are not scaled."""
    precision: Precision
    """The type in which the network computes; its weights stay float32. ``auto`` is fp32. fp16 needs a GPU. Default:
    "auto".
    """
    checkpoint_seconds: float | None
    """Seconds between two checkpoints. None in Python: no checkpoints by time. Default: 30.0."""
    checkpoint_steps: int | None
    """Steps between two checkpoints. Default: no checkpoints by steps."""
    keep_checkpoints: int
    """How many checkpoints a running job has at most. One of them stays after success, to extend the training. 0 writes
    none at all. Default: 1.
    """
    base: str | None
    """The version whose weights the training begins with, wherever their names and shapes fit."""
    freeze: list[str] | tuple[str, ...]
    """Names of parameters that are not trained, with ``*`` for any characters, such as '0.*'."""
    teacher: str | None
    """The version from whose outputs the network learns besides the targets."""
    temperature: float
    """The outputs of both networks are divided by this number before they are compared. Default: 2.0."""
    mix: float
    """The weight of the teacher against the targets, 0 to 1. Default: 0.5."""
    standardize: bool
    """Scale each feature to mean 0 and standard deviation 1, as measured on the training rows. Default: True."""
    seed: int
    """Determines the split, the first weights, the order of the rows and the dropout. Default: 0."""
    config: Mapping[str, Json]
    """The configuration of the family, with values in JSON, such as hidden=[128,64]."""


class _HeldOutOptions(_TrainingOptions, total=False):
    """The options of trainings that end in a version."""

    validation: float | Data
    """Rows that measure each epoch and are not trained on: a fraction of the data, drawn by ``seed`` (0 for none), or
    data of their own. Default: 0.1.
    """
    test: float | Data
    """Rows that only measure the final weights, once: a fraction of the data, drawn by ``seed``, or data of their own.
    Default: 0.0.
    """
    split: str | None
    """The column that says of each row whether it is ``train``, ``validation`` or ``test``. It replaces ``validation``
    and ``test``.
    """
    alias: str | None
    """An alias that points at the new version as soon as it exists."""
    promote_if: str | None
    """The condition on metrics under which ``alias`` moves, such as 'val_accuracy >= production'."""


class TrainOptions(_HeldOutOptions, total=False):
    """The options of :meth:`Client.train`."""

    devices: int
    """Devices of one worker that train together, a process on each. They share the rows of each batch. Default: 1."""
    strategy: Strategy
    """Only for several devices: each device holds the whole network (ddp), or a part of it (fsdp). Default: "ddp"."""


class TuneOptions(_HeldOutOptions, total=False):
    """The options of :meth:`Client.tune`."""

    trials: int
    """How many trainings to run. Default: 16; all combinations of a grid."""
    sampler: Sampler
    """``tpe`` learns from earlier trials, ``random`` does not, ``grid`` tries every combination. Default: "tpe"."""
    metric: str
    """The metric that decides which trial is best: the lowest loss or error, the highest value of anything else.
    Default: "val_loss".
    """
    pruner: Pruner
    """End a trial early if it is worse than the median, or than the best quarter, of the others at the same epoch.
    Default: "none".
    """
    pruner_warmup: int
    """Epochs that a trial runs before it can be ended early. Default: 1."""


class CrossValidateOptions(_TrainingOptions, total=False):
    """The options of :meth:`Client.cross_validate`."""

    folds: int
    """How many folds the rows are divided into. Each fold measures one training. Default: 5."""


class InferOptions(DataJobOptions, total=False):
    """The options of :meth:`Client.infer`."""

    batch_size: int | Literal["auto"]
    """Rows in one forward pass. ``auto`` lets the worker find the fastest size. It is halved if memory runs out.
    Default: "auto".
    """
    precision: Precision
    """The type in which the network computes. ``auto`` is the type of the version's weights. Default: "auto"."""
    compile: bool
    """Compile the network before the first batch (torch.compile). Default: False."""
    top_k: int | None
    """Only for classification and multilabel: also return the K most probable classes, most probable first."""
    logits: bool
    """Also return the output of the network before any postprocessing. Default: False."""
    positive: bool | int | str | None
    """Only for classification with two classes: also return the probability of this class, as ``probability``. Text
    such as True also names a class that is no text.
    """
    threshold: float
    """For multilabel: the least probability of a label that is returned. With ``positive``: the least probability of
    that class at which it is the label, above 0 and below 1; at 0.5 the label is the more probable class. Default:
    0.5.
    """
    aggregation: Aggregation
    """Only for token classification: how the labels of tokens become spans. ``none``: each token is one. ``simple``:
    tokens that follow each other with the same label are one. ``first``, ``average`` and ``max`` give each word one
    label before: that of its first token, of the mean of the scores, or of the token with the largest score.
    Default: "simple".
    """
    allow_nan: bool
    """Write outputs that are NaN or infinite as null. Otherwise such a row has an error. Default: False."""
    max_row_errors: int | float
    """Rows that may fail before the job fails: a count, or a fraction of the rows below 1. Default: 0."""
    output: str | None
    """Files to write, one for each shard: folder/*.parquet or folder/*.jsonl."""
    keep: list[str] | tuple[str, ...]
    """Columns of the input to store with each result: in ``key`` of the table ``results``, and in the output files."""
    results: bool | None
    """Write rows into the table ``results``. Default: true unless ``output`` is given."""
    max_wait_ms: int
    """Milliseconds that a small shard may wait for other shards to share its batch. Default: 0."""
    rows_per_shard: int | None
    """Rows in one shard. Default: by the size of the input, and 256 for texts to generate."""


class GenerateOptions(DataJobOptions, total=False):
    """The options of :meth:`Client.generate`."""

    max_tokens: int | None
    """Tokens to generate, at most. Default: that of the version's generation_config.json, or 256."""
    min_tokens: int
    """Tokens before which a text does not end. Default: 0."""
    temperature: float | None
    """How evenly tokens are drawn; 0 always takes the most probable one. Default: that of the version's
    generation_config.json, or 0.
    """
    top_p: float | None
    """Draw only from the most probable tokens that have this probability together. Default: that of the version, or 1.
    """
    top_k: int | None
    """Draw only from so many tokens, the most probable ones; 0: from all. Default: that of the version, or 0."""
    min_p: float | None
    """Draw only from tokens with at least this fraction of the probability of the most probable one. Default: that of
    the version, or 0.
    """
    repetition_penalty: float | None
    """Above 1: tokens of the prompt and of the text become less probable. Default: that of the version, or 1."""
    presence_penalty: float
    """Above 0: tokens that the text has become less probable. Default: 0.0."""
    frequency_penalty: float
    """Above 0: tokens become less probable each time that the text has them. Default: 0.0."""
    stop: str | list[str] | tuple[str, ...]
    """Texts before which the output ends."""
    seed: int | None
    """Determines what is drawn for each row. Default: drawn by the engine, different each time."""
    n: int
    """Texts for each row. If there are several, they are ``choices`` of the output, and need a temperature above 0.
    Default: 1.
    """
    logprobs: int | None
    """Also return the log probability of each token, and the K most probable tokens in its place."""
    system: str | None
    """A system message that is put before the messages; before a prompt, as a text of its own line."""
    prefix: str | None
    """How the answer begins. The output begins with it, too."""
    tool_choice: str
    """Whether the model calls ``tools``: ``auto``, it decides; ``none``, it is shown none; ``required``, it calls one
    or several; the name of a function, it calls this one. Calls that it must make match the schemas of their
    functions. Default: "auto".
    """
    schema: Mapping[str, Json] | type[BaseModel] | None
    """A JSON Schema, or a pydantic model class: each text is a JSON document that matches it, and is also put out
    parsed, as ``data``.
    """
    regex: str | None
    """A regular expression that each text matches as a whole."""
    choices: list[str] | tuple[str, ...]
    """Each text is one of these."""
    tools: Sequence[Mapping[str, Json]]
    """Functions that the model may call, in the form of OpenAI's API. Only with ``messages``. Arguments that do not
    match the schema of a function with ``"strict": true`` are an error of their row.
    """
    parallel_tool_calls: bool
    """Whether an answer may have several calls. False only with a ``tool_choice``. Default: True."""
    engine: EngineName
    """What runs the network. ``auto``: vLLM on a GPU if the worker has it, else transformers. Default: "auto"."""
    max_row_errors: int | float
    """Rows that may fail before the job fails: a count, or a fraction of the rows below 1. Default: 0."""
    keep: list[str] | tuple[str, ...]
    """Columns of the input to store with each result, in ``key`` of the table ``results``."""
    rows_per_shard: int | None
    """Rows in one shard. Default: by the size of the input, and 256 for texts to generate."""


class EvaluateOptions(DataJobOptions, total=False):
    """The options of :meth:`Client.evaluate`."""

    batch_size: int | Literal["auto"]
    """Rows in one forward pass. ``auto`` lets the worker find the fastest size. It is halved if memory runs out.
    Default: "auto".
    """
    precision: Precision
    """The type in which the network computes. ``auto`` is the type of the version's weights. Default: "auto"."""
    compile: bool
    """Compile the network before the first batch (torch.compile). Default: False."""
    positive: bool | int | str | None
    """Only for classification with two classes: also measure precision, recall and F1 of this class, as
    ``positive_precision``, ``positive_recall`` and ``positive_f1``. Text such as True also names a class that is no
    text.
    """
    threshold: float
    """Only with ``positive``: the least probability of that class at which it is predicted. At 0.5 the more probable
    class is. Default: 0.5.
    """
    bootstrap: int
    """Resamples for the confidence intervals. 0 leaves the intervals out. Default: 1000."""
    worst: int
    """How many of the rows with the largest losses are stored. Default: 20."""
    seed: int
    """The seed of the resamples. Default: 0."""
    max_row_errors: int | float
    """Rows that may fail before the job fails: a count, or a fraction of the rows below 1. Default: 0."""
    max_tokens: int | None
    """Only for language models: tokens to generate for each row, at most. Default: as in ``generate``."""
    temperature: float
    """Only for language models: how evenly tokens are drawn; 0 always takes the most probable one. Default: 0.0."""
    system: str | None
    """Only for language models: a system message that is put before the messages; before a prompt, as a text of its own
    line.
    """
    stop: list[str] | tuple[str, ...]
    """Only for language models: texts before which the output ends."""
    schema: Mapping[str, Json] | type[BaseModel] | None
    """Only for language models: a JSON Schema, or a pydantic model class. Also measure how many texts match it, as
    ``json_validity``. The model is not held to it.
    """
    perplexity: bool
    """Only for language models: also measure the perplexity of the expected texts, each after its prompt. Default:
    False.
    """
    against: str | None
    """Only for language models: another version. ``judge`` compares the texts of both, and ``win_rate`` says how often
    those of the first one are better. Needs no target.
    """
    judge: str | None
    """Only with ``against``: the language model that says which of two texts is better. It is asked in both orders, and
    a tie counts half.
    """
