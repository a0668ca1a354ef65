"""The options of the commands that submit jobs. Generated from the specs; do not edit.

Edit the field of the spec in ``longshore/shared/specs`` and run ``python -m longshore.producers.options.generate``.
"""

# fmt: off
from __future__ import annotations

from longshore.producers.cli.option_types import FlagRow

_JOB = (
    FlagRow(
        name="priority",
        flag="--priority",
        reader="int",
        section="Job",
        help="0 to 9; 9 is the most urgent. Default: 4.",
    ),
    FlagRow(
        name="device",
        flag="--device",
        reader="choice",
        section="Job",
        help=(
            "Which workers run the job. auto is a GPU worker if one is alive at submission, else a CPU worker. "
            "Default: auto."
        ),
        choices=("auto", "cpu", "gpu",),
    ),
    FlagRow(
        name="max_attempts",
        flag="--max-attempts",
        reader="int",
        section="Job",
        help="Attempts at one shard before it fails. Default: 3.",
    ),
    FlagRow(
        name="timeout",
        flag="--timeout",
        reader="float",
        section="Job",
        help=(
            "Seconds from submission after which the job is ended; for a job in a chain, from when the job before"
            " it has succeeded. Default: no limit."
        ),
        metavar="SECONDS",
    ),
    FlagRow(
        name="idempotency_key",
        flag="--idempotency-key",
        reader="text",
        section="Job",
        help="A second submission by the same producer with the same key returns the first job.",
        metavar="KEY",
    ),
)

_DATA = (
    FlagRow(
        name="format",
        flag="--format",
        reader="choice",
        section="Input",
        help="The format of the input file. Default: by its suffix.",
        choices=("parquet", "csv", "jsonl", "arrow", "npy", "npz", "hdf5", "images", "txt",),
    ),
)

_TRAINING = (
    FlagRow(
        name="task",
        flag="--task",
        reader="choice",
        section="Model and task",
        help=(
            "What the target is. auto decides by the type of the target. multilabel: any number of labels for "
            "each row. embedding: vectors that are close to each other for rows with the same label. "
            "language_model: the next token of the target, which is a text; only for causal_lm and lora, and "
            "their default. preference: which of two answers is better, the target or the one in the column "
            "rejected; only for causal_lm and lora. Default: auto."
        ),
        choices=("auto", "classification", "regression", "multilabel", "embedding", "language_model", "preference",),
    ),
    FlagRow(
        name="embedding_width",
        flag="--embedding-width",
        reader="int",
        section="Model and task",
        help="Only for the task embedding: the number of dimensions of a vector. Default: 128.",
        metavar="N",
    ),
    FlagRow(
        name="contrast_temperature",
        flag="--contrast-temperature",
        reader="float",
        section="Model and task",
        help=(
            "Only for the task embedding: the loss divides the cosine similarity of vectors by this number. "
            "Default: 0.1."
        ),
    ),
    FlagRow(
        name="rejected",
        flag="--rejected",
        reader="text",
        section="Model and task",
        help=(
            "Only for the task preference: the column of the answers that are worse than the target. Default: "
            "rejected."
        ),
        metavar="COLUMN",
    ),
    FlagRow(
        name="truncate_prompt",
        flag="--truncate-prompt",
        reader="flag",
        section="Model and task",
        help=(
            "Only for the task preference: drop the first tokens of prompts that are too long, so that both "
            "answers fit the context. Otherwise a row that is too long is refused. Default: false."
        ),
    ),
    FlagRow(
        name="features",
        flag="--features",
        reader="comma_separated",
        section="Data",
        help="The columns to predict from. Default: all but the target.",
        metavar="COLUMN,...",
    ),
    FlagRow(
        name="validation",
        flag="--validation",
        reader="fraction_or_file",
        section="Data",
        help=(
            "Rows that measure each epoch and are not trained on: a fraction of the data, drawn by seed (0 for "
            "none), or data of their own. Default: 0.1."
        ),
        metavar="FRACTION|FILE",
    ),
    FlagRow(
        name="test",
        flag="--test",
        reader="fraction_or_file",
        section="Data",
        help=(
            "Rows that only measure the final weights, once: a fraction of the data, drawn by seed, or data of "
            "their own. Default: 0.0."
        ),
        metavar="FRACTION|FILE",
    ),
    FlagRow(
        name="split",
        flag="--split",
        reader="text",
        section="Data",
        help=(
            "The column that says of each row whether it is train, validation or test. It replaces validation and"
            " test."
        ),
        metavar="COLUMN",
    ),
    FlagRow(
        name="stratify",
        flag="--stratify",
        reader="flag",
        section="Data",
        help="Draw the fractions from each class in proportion to its size. Default: true if there are classes.",
    ),
    FlagRow(
        name="augment",
        flag="--augment",
        reader="settings",
        section="Data",
        help="Random changes of the training images, such as horizontal_flip=0.5.",
        metavar="KEY=VALUE",
    ),
    FlagRow(
        name="tokenizer",
        flag="--tokenizer",
        reader="settings",
        section="Data",
        help=(
            "How a column of text becomes ids, such as kind=bpe and length=128, or version=news:1 for the "
            "tokenizer of a version."
        ),
        metavar="KEY=VALUE",
    ),
    FlagRow(
        name="stream",
        flag="--stream",
        reader="flag",
        section="Data",
        help=(
            "Read the file again in each epoch instead of holding its rows in memory. Default: true if the file "
            "is large."
        ),
    ),
    FlagRow(
        name="shuffle_window",
        flag="--shuffle-window",
        reader="int",
        section="Data",
        help="Only for a stream: how many rows are shuffled together. Default: as many as fit into 128 MiB.",
        metavar="ROWS",
    ),
    FlagRow(
        name="preprocess",
        flag="--preprocess",
        reader="settings",
        section="Data",
        help=(
            "How columns become numbers, such as color=category, when=datetime or age={\"missing\": 0}, by column. "
            "Default: by the values of the rows to train on."
        ),
        metavar="COLUMN=HOW",
    ),
    FlagRow(
        name="epochs",
        flag="--epochs",
        reader="int",
        section="Training loop",
        help="How many times the training passes over its rows. Default: 10.",
    ),
    FlagRow(
        name="batch_size",
        flag="--batch-size",
        reader="int",
        section="Training loop",
        help="Rows in one batch, over all devices. Default: 128.",
        metavar="ROWS",
    ),
    FlagRow(
        name="learning_rate",
        flag="--learning-rate",
        reader="float",
        section="Optimizer",
        help="The learning rate, at its largest. Default: 0.001.",
    ),
    FlagRow(
        name="weight_decay",
        flag="--weight-decay",
        reader="float",
        section="Optimizer",
        help="The weight decay, as PyTorch's optimizer applies it. Default: 0.0.",
    ),
    FlagRow(
        name="optimizer",
        flag="--optimizer",
        reader="choice",
        section="Optimizer",
        help="The optimizer, also as PyTorch writes it (AdamW). Default: adam.",
        choices=("adam", "adamw", "sgd", "rmsprop", "adagrad", "nadam", "radam",),
    ),
    FlagRow(
        name="momentum",
        flag="--momentum",
        reader="float",
        section="Optimizer",
        help="Only for sgd and rmsprop: the momentum. Default: 0.0.",
    ),
    FlagRow(
        name="nesterov",
        flag="--nesterov",
        reader="flag",
        section="Optimizer",
        help="Only for sgd with a momentum: Nesterov momentum. Default: false.",
    ),
    FlagRow(
        name="betas",
        flag="--betas",
        reader="two_floats",
        section="Optimizer",
        help=(
            "Only for adam, adamw, nadam and radam: decay of the running means of the gradient and of its square."
            " Default: 0.9 and 0.999."
        ),
    ),
    FlagRow(
        name="eps",
        flag="--eps",
        reader="float",
        section="Optimizer",
        help="Not for sgd: the number added to the divisor. Default: 1e-8; 1e-10 for adagrad.",
    ),
    FlagRow(
        name="amsgrad",
        flag="--amsgrad",
        reader="flag",
        section="Optimizer",
        help="Only for adam and adamw: divide by the largest mean square so far. Default: false.",
    ),
    FlagRow(
        name="alpha",
        flag="--alpha",
        reader="float",
        section="Optimizer",
        help="Only for rmsprop: decay of the running mean of the square. Default: 0.99.",
    ),
    FlagRow(
        name="centered",
        flag="--centered",
        reader="flag",
        section="Optimizer",
        help=(
            "Only for rmsprop: divide by the standard deviation of the gradient instead of its mean square. "
            "Default: false."
        ),
    ),
    FlagRow(
        name="loss",
        flag="--loss",
        reader="text",
        section="Loss",
        help=(
            "The loss, also as PyTorch writes it (HuberLoss). Default: cross_entropy for classes, mse for "
            "numbers, dpo for preferences."
        ),
        metavar="NAME",
    ),
    FlagRow(
        name="label_smoothing",
        flag="--label-smoothing",
        reader="float",
        section="Loss",
        help=(
            "For cross_entropy, the share of each target that is spread evenly over all classes. For dpo, the "
            "share of rows whose preference is taken to be the wrong way round, below 0.5. Default: 0.0."
        ),
    ),
    FlagRow(
        name="class_weights",
        flag="--class-weights",
        reader="class_weights",
        section="Loss",
        help=(
            "Only for cross_entropy, and only for the rows that are trained on: balanced, or a weight for each "
            "label. Labels that are not named weigh 1."
        ),
        metavar="LABEL=WEIGHT",
    ),
    FlagRow(
        name="beta",
        flag="--beta",
        reader="float",
        section="Loss",
        help=(
            "For smooth_l1, errors below this number, in the unit of the target, count squared; default: 1. For "
            "dpo, what the logarithms of probability ratios are multiplied by: the larger, the closer to the "
            "base; default: 0.1."
        ),
    ),
    FlagRow(
        name="delta",
        flag="--delta",
        reader="float",
        section="Loss",
        help="Only for huber: errors below this number, in the unit of the target, count squared. Default: 1.",
    ),
    FlagRow(
        name="init",
        flag="--init",
        reader="text",
        section="Initial weights",
        help=(
            "How weights with two or more dimensions are initialised, by PyTorch's name. default leaves it to the"
            " family. Biases start at 0. The weights of base replace these. Default: default."
        ),
        metavar="NAME",
    ),
    FlagRow(
        name="init_std",
        flag="--init-std",
        reader="float",
        section="Initial weights",
        help="Only for normal and trunc_normal: the standard deviation. Default: 0.02.",
    ),
    FlagRow(
        name="metrics",
        flag="--metrics",
        reader="repeated",
        section="Metrics",
        help=(
            "What is measured on held-out rows besides the loss. Default: accuracy for classes, mae and r2 for "
            "numbers, accuracy and f1 for several labels a row, recall_at_1 for embeddings, perplexity for "
            "language models, all that there are for preferences."
        ),
        metavar="NAME",
    ),
    FlagRow(
        name="train_metrics",
        flag="--train-metrics",
        reader="flag",
        section="Metrics",
        help="Measure metrics on the training rows, too, in one more pass after each epoch. Default: false.",
    ),
    FlagRow(
        name="schedule",
        flag="--schedule",
        reader="choice",
        section="Learning rate schedule",
        help=(
            "How the learning rate changes: at each step over all epochs (cosine, linear, one_cycle), or by epoch"
            " (step, plateau). Default: constant."
        ),
        choices=("constant", "step", "cosine", "linear", "one_cycle", "plateau",),
    ),
    FlagRow(
        name="warmup_steps",
        flag="--warmup-steps",
        reader="int",
        section="Learning rate schedule",
        help="Steps in which the learning rate first rises to its full value. Default: 0.",
    ),
    FlagRow(
        name="step_size",
        flag="--step-size",
        reader="int",
        section="Learning rate schedule",
        help="Only for the schedule step: epochs between two changes. Default: 10.",
        metavar="EPOCHS",
    ),
    FlagRow(
        name="gamma",
        flag="--gamma",
        reader="float",
        section="Learning rate schedule",
        help="Only for the schedules step and plateau: the factor of each change. Default: 0.1.",
    ),
    FlagRow(
        name="patience",
        flag="--patience",
        reader="int",
        section="Learning rate schedule",
        help=(
            "Only for the schedule plateau: epochs without a better loss before the learning rate changes. "
            "Default: 10."
        ),
        metavar="EPOCHS",
    ),
    FlagRow(
        name="early_stopping",
        flag="--early-stopping",
        reader="int",
        section="Early stopping",
        help=(
            "Epochs without a better monitor after which the training ends, with the weights of its best epoch. "
            "Default: train all epochs."
        ),
        metavar="EPOCHS",
    ),
    FlagRow(
        name="monitor",
        flag="--monitor",
        reader="text",
        section="Early stopping",
        help="The metric that early_stopping watches. Default: val_loss.",
        metavar="METRIC",
    ),
    FlagRow(
        name="accumulate",
        flag="--accumulate",
        reader="int",
        section="Steps",
        help=(
            "Batches whose gradients are added up for one step. Their mean is that of one batch with all of their"
            " rows. Default: 1."
        ),
        metavar="BATCHES",
    ),
    FlagRow(
        name="clip_grad_norm",
        flag="--clip-grad-norm",
        reader="float",
        section="Steps",
        help=(
            "The norm to which all gradients of a step together are scaled down. Default: gradients are not "
            "scaled."
        ),
    ),
    FlagRow(
        name="precision",
        flag="--precision",
        reader="choice",
        section="Steps",
        help=(
            "The type in which the network computes; its weights stay float32. auto is fp32. fp16 needs a GPU. "
            "Default: auto."
        ),
        choices=("auto", "fp32", "bf16", "fp16",),
    ),
    FlagRow(
        name="checkpoint_seconds",
        flag="--checkpoint-seconds",
        reader="float",
        section="Checkpoints",
        help="Seconds between two checkpoints. None in Python: no checkpoints by time. Default: 30.0.",
    ),
    FlagRow(
        name="checkpoint_steps",
        flag="--checkpoint-steps",
        reader="int",
        section="Checkpoints",
        help="Steps between two checkpoints. Default: no checkpoints by steps.",
    ),
    FlagRow(
        name="keep_checkpoints",
        flag="--keep-checkpoints",
        reader="int",
        section="Checkpoints",
        help=(
            "How many checkpoints a running job has at most. One of them stays after success, to extend the "
            "training. 0 writes none at all. Default: 1."
        ),
    ),
    FlagRow(
        name="base",
        flag="--base",
        reader="text",
        section="Fine-tuning",
        help="The version whose weights the training begins with, wherever their names and shapes fit.",
        metavar="MODEL",
    ),
    FlagRow(
        name="freeze",
        flag="--freeze",
        reader="repeated",
        section="Fine-tuning",
        help="Names of parameters that are not trained, with * for any characters, such as '0.*'.",
        metavar="PATTERN",
    ),
    FlagRow(
        name="teacher",
        flag="--teacher",
        reader="text",
        section="Distillation",
        help="The version from whose outputs the network learns besides the targets.",
        metavar="MODEL",
    ),
    FlagRow(
        name="temperature",
        flag="--temperature",
        reader="float",
        section="Distillation",
        help="The outputs of both networks are divided by this number before they are compared. Default: 2.0.",
    ),
    FlagRow(
        name="mix",
        flag="--mix",
        reader="float",
        section="Distillation",
        help="The weight of the teacher against the targets, 0 to 1. Default: 0.5.",
    ),
    FlagRow(
        name="devices",
        flag="--devices",
        reader="int",
        section="Several devices",
        help=(
            "Devices of one worker that train together, a process on each. They share the rows of each batch. "
            "Default: 1."
        ),
        metavar="N",
    ),
    FlagRow(
        name="strategy",
        flag="--strategy",
        reader="choice",
        section="Several devices",
        help=(
            "Only for several devices: each device holds the whole network (ddp), or a part of it (fsdp). "
            "Default: ddp."
        ),
        choices=("ddp", "fsdp",),
    ),
    FlagRow(
        name="standardize",
        flag="--standardize",
        reader="flag",
        section="Model, seed and promotion",
        help=(
            "Scale each feature to mean 0 and standard deviation 1, as measured on the training rows. Default: "
            "true."
        ),
    ),
    FlagRow(
        name="seed",
        flag="--seed",
        reader="int",
        section="Model, seed and promotion",
        help="Determines the split, the first weights, the order of the rows and the dropout. Default: 0.",
    ),
    FlagRow(
        name="config",
        flag="--set",
        reader="settings",
        section="Model, seed and promotion",
        help="The configuration of the family, with values in JSON, such as hidden=[128,64].",
        metavar="KEY=VALUE",
    ),
    FlagRow(
        name="alias",
        flag="--alias",
        reader="text",
        section="Model, seed and promotion",
        help="An alias that points at the new version as soon as it exists.",
        metavar="NAME",
    ),
    FlagRow(
        name="promote_if",
        flag="--promote-if",
        reader="text",
        section="Model, seed and promotion",
        help="The condition on metrics under which alias moves, such as 'val_accuracy >= production'.",
        metavar="CONDITION",
    ),
)

#: The options of each command, in the order of its help text.
OPTIONS: dict[str, tuple[FlagRow, ...]] = {
    "train": (
        *_TRAINING,
        *_DATA,
        *_JOB,
    ),
    "tune": (
        FlagRow(
            name="trials",
            flag="--trials",
            reader="int",
            section="Search",
            help="How many trainings to run. Default: 16; all combinations of a grid.",
        ),
        FlagRow(
            name="sampler",
            flag="--sampler",
            reader="choice",
            section="Search",
            help="tpe learns from earlier trials, random does not, grid tries every combination. Default: tpe.",
            choices=("tpe", "random", "grid",),
        ),
        FlagRow(
            name="metric",
            flag="--metric",
            reader="text",
            section="Search",
            help=(
                "The metric that decides which trial is best: the lowest loss or error, the highest value of anything"
                " else. Default: val_loss."
            ),
            metavar="NAME",
        ),
        FlagRow(
            name="pruner",
            flag="--pruner",
            reader="choice",
            section="Search",
            help=(
                "End a trial early if it is worse than the median, or than the best quarter, of the others at the "
                "same epoch. Default: none."
            ),
            choices=("none", "median", "quarter",),
        ),
        FlagRow(
            name="pruner_warmup",
            flag="--pruner-warmup",
            reader="int",
            section="Search",
            help="Epochs that a trial runs before it can be ended early. Default: 1.",
            metavar="EPOCHS",
        ),
        *_TRAINING,
        *_DATA,
        *_JOB,
    ),
    "cross_validate": (
        FlagRow(
            name="folds",
            flag="--folds",
            reader="int",
            section="Cross-validation",
            help="How many folds the rows are divided into. Each fold measures one training. Default: 5.",
        ),
        *_TRAINING,
        *_DATA,
        *_JOB,
    ),
    "infer": (
        FlagRow(
            name="batch_size",
            flag="--batch-size",
            reader="int_or_auto",
            section="Inference",
            help=(
                "Rows in one forward pass. auto lets the worker find the fastest size. It is halved if memory runs "
                "out. Default: auto."
            ),
            metavar="ROWS|auto",
        ),
        FlagRow(
            name="precision",
            flag="--precision",
            reader="choice",
            section="Inference",
            help="The type in which the network computes. auto is the type of the version's weights. Default: auto.",
            choices=("auto", "fp32", "bf16", "fp16",),
        ),
        FlagRow(
            name="compile",
            flag="--compile",
            reader="flag",
            section="Inference",
            help="Compile the network before the first batch (torch.compile). Default: false.",
        ),
        FlagRow(
            name="top_k",
            flag="--top-k",
            reader="int",
            section="Inference",
            help=(
                "Only for classification and multilabel: also return the K most probable classes, most probable "
                "first."
            ),
            metavar="K",
        ),
        FlagRow(
            name="logits",
            flag="--logits",
            reader="flag",
            section="Inference",
            help="Also return the output of the network before any postprocessing. Default: false.",
        ),
        FlagRow(
            name="positive",
            flag="--positive",
            reader="text",
            section="Inference",
            help=(
                "Only for classification with two classes: also return the probability of this class, as probability."
                " Text such as True also names a class that is no text."
            ),
            metavar="CLASS",
        ),
        FlagRow(
            name="threshold",
            flag="--threshold",
            reader="float",
            section="Inference",
            help=(
                "For multilabel: the least probability of a label that is returned. With positive: the least "
                "probability of that class at which it is the label, above 0 and below 1; at 0.5 the label is the "
                "more probable class. Default: 0.5."
            ),
        ),
        FlagRow(
            name="aggregation",
            flag="--aggregation",
            reader="choice",
            section="Inference",
            help=(
                "Only for token classification: how the labels of tokens become spans. none: each token is one. "
                "simple: tokens that follow each other with the same label are one. first, average and max give each "
                "word one label before: that of its first token, of the mean of the scores, or of the token with the "
                "largest score. Default: simple."
            ),
            choices=("none", "simple", "first", "average", "max",),
        ),
        FlagRow(
            name="allow_nan",
            flag="--allow-nan",
            reader="flag",
            section="Inference",
            help="Write outputs that are NaN or infinite as null. Otherwise such a row has an error. Default: false.",
        ),
        FlagRow(
            name="max_row_errors",
            flag="--max-row-errors",
            reader="count_or_fraction",
            section="Inference",
            help="Rows that may fail before the job fails: a count, or a fraction of the rows below 1. Default: 0.",
            metavar="N",
        ),
        FlagRow(
            name="output",
            flag="--output",
            reader="text",
            section="Inference",
            help="Files to write, one for each shard: folder/*.parquet or folder/*.jsonl.",
            metavar="PATTERN",
        ),
        FlagRow(
            name="keep",
            flag="--keep",
            reader="repeated",
            section="Inference",
            help=(
                "Columns of the input to store with each result: in key of the table results, and in the output "
                "files."
            ),
            metavar="COLUMN",
        ),
        FlagRow(
            name="results",
            flag="--results",
            reader="flag",
            section="Inference",
            help="Write rows into the table results. Default: true unless output is given.",
        ),
        FlagRow(
            name="max_wait_ms",
            flag="--max-wait-ms",
            reader="int",
            section="Inference",
            help="Milliseconds that a small shard may wait for other shards to share its batch. Default: 0.",
            metavar="MS",
        ),
        FlagRow(
            name="rows_per_shard",
            flag="--rows-per-shard",
            reader="int",
            section="Job",
            help="Rows in one shard. Default: by the size of the input, and 256 for texts to generate.",
            metavar="ROWS",
        ),
        *_DATA,
        *_JOB,
    ),
    "generate": (
        FlagRow(
            name="max_tokens",
            flag="--max-tokens",
            reader="int",
            section="Generation",
            help="Tokens to generate, at most. Default: that of the version's generation_config.json, or 256.",
            metavar="N",
        ),
        FlagRow(
            name="min_tokens",
            flag="--min-tokens",
            reader="int",
            section="Generation",
            help="Tokens before which a text does not end. Default: 0.",
            metavar="N",
        ),
        FlagRow(
            name="temperature",
            flag="--temperature",
            reader="float",
            section="Generation",
            help=(
                "How evenly tokens are drawn; 0 always takes the most probable one. Default: that of the version's "
                "generation_config.json, or 0."
            ),
            metavar="T",
        ),
        FlagRow(
            name="top_p",
            flag="--top-p",
            reader="float",
            section="Generation",
            help=(
                "Draw only from the most probable tokens that have this probability together. Default: that of the "
                "version, or 1."
            ),
            metavar="P",
        ),
        FlagRow(
            name="top_k",
            flag="--top-k",
            reader="int",
            section="Generation",
            help=(
                "Draw only from so many tokens, the most probable ones; 0: from all. Default: that of the version, or"
                " 0."
            ),
            metavar="K",
        ),
        FlagRow(
            name="min_p",
            flag="--min-p",
            reader="float",
            section="Generation",
            help=(
                "Draw only from tokens with at least this fraction of the probability of the most probable one. "
                "Default: that of the version, or 0."
            ),
            metavar="P",
        ),
        FlagRow(
            name="repetition_penalty",
            flag="--repetition-penalty",
            reader="float",
            section="Generation",
            help=(
                "Above 1: tokens of the prompt and of the text become less probable. Default: that of the version, or"
                " 1."
            ),
            metavar="X",
        ),
        FlagRow(
            name="presence_penalty",
            flag="--presence-penalty",
            reader="float",
            section="Generation",
            help="Above 0: tokens that the text has become less probable. Default: 0.0.",
            metavar="X",
        ),
        FlagRow(
            name="frequency_penalty",
            flag="--frequency-penalty",
            reader="float",
            section="Generation",
            help="Above 0: tokens become less probable each time that the text has them. Default: 0.0.",
            metavar="X",
        ),
        FlagRow(
            name="stop",
            flag="--stop",
            reader="repeated",
            section="Generation",
            help="Texts before which the output ends.",
            metavar="TEXT",
        ),
        FlagRow(
            name="seed",
            flag="--seed",
            reader="int",
            section="Generation",
            help="Determines what is drawn for each row. Default: drawn by the engine, different each time.",
            metavar="N",
        ),
        FlagRow(
            name="n",
            flag="--n",
            reader="int",
            section="Generation",
            help=(
                "Texts for each row. If there are several, they are choices of the output, and need a temperature "
                "above 0. Default: 1."
            ),
            metavar="N",
        ),
        FlagRow(
            name="logprobs",
            flag="--logprobs",
            reader="int",
            section="Generation",
            help="Also return the log probability of each token, and the K most probable tokens in its place.",
            metavar="K",
        ),
        FlagRow(
            name="system",
            flag="--system",
            reader="text",
            section="Generation",
            help="A system message that is put before the messages; before a prompt, as a text of its own line.",
            metavar="TEXT",
        ),
        FlagRow(
            name="prefix",
            flag="--prefix",
            reader="text",
            section="Generation",
            help="How the answer begins. The output begins with it, too.",
            metavar="TEXT",
        ),
        FlagRow(
            name="tool_choice",
            flag="--tool-choice",
            reader="text",
            section="Generation",
            help=(
                "Whether the model calls tools: auto, it decides; none, it is shown none; required, it calls one or "
                "several; the name of a function, it calls this one. Calls that it must make match the schemas of "
                "their functions. Default: auto."
            ),
            metavar="CHOICE",
        ),
        FlagRow(
            name="schema",
            flag="--schema",
            reader="json",
            section="Generation",
            help=(
                "A JSON Schema, or a pydantic model class: each text is a JSON document that matches it, and is also "
                "put out parsed, as data."
            ),
            metavar="FILE|JSON",
        ),
        FlagRow(
            name="regex",
            flag="--regex",
            reader="text",
            section="Generation",
            help="A regular expression that each text matches as a whole.",
            metavar="PATTERN",
        ),
        FlagRow(
            name="choices",
            flag="--choices",
            reader="repeated",
            section="Generation",
            help="Each text is one of these.",
            metavar="TEXT",
        ),
        FlagRow(
            name="tools",
            flag="--tools",
            reader="json",
            section="Generation",
            help=(
                "Functions that the model may call, in the form of OpenAI's API. Only with messages. Arguments that "
                "do not match the schema of a function with \"strict\": true are an error of their row."
            ),
            metavar="FILE|JSON",
        ),
        FlagRow(
            name="parallel_tool_calls",
            flag="--parallel-tool-calls",
            reader="flag",
            section="Generation",
            help="Whether an answer may have several calls. False only with a tool_choice. Default: true.",
        ),
        FlagRow(
            name="engine",
            flag="--engine",
            reader="choice",
            section="Generation",
            help="What runs the network. auto: vLLM on a GPU if the worker has it, else transformers. Default: auto.",
            choices=("auto", "transformers", "vllm",),
        ),
        FlagRow(
            name="max_row_errors",
            flag="--max-row-errors",
            reader="count_or_fraction",
            section="Generation",
            help="Rows that may fail before the job fails: a count, or a fraction of the rows below 1. Default: 0.",
            metavar="N",
        ),
        FlagRow(
            name="keep",
            flag="--keep",
            reader="repeated",
            section="Generation",
            help="Columns of the input to store with each result, in key of the table results.",
            metavar="COLUMN",
        ),
        FlagRow(
            name="rows_per_shard",
            flag="--rows-per-shard",
            reader="int",
            section="Job",
            help="Rows in one shard. Default: by the size of the input, and 256 for texts to generate.",
            metavar="ROWS",
        ),
        *_DATA,
        *_JOB,
    ),
    "evaluate": (
        FlagRow(
            name="batch_size",
            flag="--batch-size",
            reader="int_or_auto",
            section="Evaluation",
            help=(
                "Rows in one forward pass. auto lets the worker find the fastest size. It is halved if memory runs "
                "out. Default: auto."
            ),
            metavar="ROWS|auto",
        ),
        FlagRow(
            name="precision",
            flag="--precision",
            reader="choice",
            section="Evaluation",
            help="The type in which the network computes. auto is the type of the version's weights. Default: auto.",
            choices=("auto", "fp32", "bf16", "fp16",),
        ),
        FlagRow(
            name="compile",
            flag="--compile",
            reader="flag",
            section="Evaluation",
            help="Compile the network before the first batch (torch.compile). Default: false.",
        ),
        FlagRow(
            name="positive",
            flag="--positive",
            reader="text",
            section="Evaluation",
            help=(
                "Only for classification with two classes: also measure precision, recall and F1 of this class, as "
                "positive_precision, positive_recall and positive_f1. Text such as True also names a class that is no"
                " text."
            ),
            metavar="CLASS",
        ),
        FlagRow(
            name="threshold",
            flag="--threshold",
            reader="float",
            section="Evaluation",
            help=(
                "Only with positive: the least probability of that class at which it is predicted. At 0.5 the more "
                "probable class is. Default: 0.5."
            ),
        ),
        FlagRow(
            name="bootstrap",
            flag="--bootstrap",
            reader="int",
            section="Evaluation",
            help="Resamples for the confidence intervals. 0 leaves the intervals out. Default: 1000.",
            metavar="N",
        ),
        FlagRow(
            name="worst",
            flag="--worst",
            reader="int",
            section="Evaluation",
            help="How many of the rows with the largest losses are stored. Default: 20.",
            metavar="ROWS",
        ),
        FlagRow(
            name="seed",
            flag="--seed",
            reader="int",
            section="Evaluation",
            help="The seed of the resamples. Default: 0.",
        ),
        FlagRow(
            name="max_row_errors",
            flag="--max-row-errors",
            reader="count_or_fraction",
            section="Evaluation",
            help="Rows that may fail before the job fails: a count, or a fraction of the rows below 1. Default: 0.",
            metavar="N",
        ),
        FlagRow(
            name="max_tokens",
            flag="--max-tokens",
            reader="int",
            section="Evaluation",
            help="Only for language models: tokens to generate for each row, at most. Default: as in generate.",
            metavar="N",
        ),
        FlagRow(
            name="temperature",
            flag="--temperature",
            reader="float",
            section="Evaluation",
            help=(
                "Only for language models: how evenly tokens are drawn; 0 always takes the most probable one. "
                "Default: 0.0."
            ),
            metavar="T",
        ),
        FlagRow(
            name="system",
            flag="--system",
            reader="text",
            section="Evaluation",
            help=(
                "Only for language models: a system message that is put before the messages; before a prompt, as a "
                "text of its own line."
            ),
            metavar="TEXT",
        ),
        FlagRow(
            name="stop",
            flag="--stop",
            reader="repeated",
            section="Evaluation",
            help="Only for language models: texts before which the output ends.",
            metavar="TEXT",
        ),
        FlagRow(
            name="schema",
            flag="--schema",
            reader="json",
            section="Evaluation",
            help=(
                "Only for language models: a JSON Schema, or a pydantic model class. Also measure how many texts "
                "match it, as json_validity. The model is not held to it."
            ),
            metavar="FILE|JSON",
        ),
        FlagRow(
            name="perplexity",
            flag="--perplexity",
            reader="flag",
            section="Evaluation",
            help=(
                "Only for language models: also measure the perplexity of the expected texts, each after its prompt. "
                "Default: false."
            ),
        ),
        FlagRow(
            name="against",
            flag="--against",
            reader="text",
            section="Evaluation",
            help=(
                "Only for language models: another version. judge compares the texts of both, and win_rate says how "
                "often those of the first one are better. Needs no target."
            ),
            metavar="MODEL",
        ),
        FlagRow(
            name="judge",
            flag="--judge",
            reader="text",
            section="Evaluation",
            help=(
                "Only with against: the language model that says which of two texts is better. It is asked in both "
                "orders, and a tie counts half."
            ),
            metavar="MODEL",
        ),
        *_DATA,
        *_JOB,
    ),
}
