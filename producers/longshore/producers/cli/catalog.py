"""All commands: the module of each, and its line in ``longshore --help``, which is printed without imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A command or a group of commands."""

    #: The module in ``cli/commands``. The function in it has the name of the command, with ``_`` for ``-``.
    module: str
    help: str


#: The sections of the help, in order, with their commands.
SECTIONS: dict[str, dict[str, Entry]] = {
    "Cluster on this machine": {
        "up": Entry("services", "Start a cluster and run it until Ctrl-C."),
        "down": Entry("services", "Stop the cluster."),
        "status": Entry("status", "Show services, workers and job counts."),
        "top": Entry("status", "Show what each device does, live."),
        "demo": Entry("demo", "Train and use a model on real data in about a minute."),
        "doctor": Entry("doctor", "Check the installation and the cluster."),
    },
    "Jobs": {
        "train": Entry("train", "Submit a training job."),
        "tune": Entry("search", "Search for the best training options."),
        "cross-validate": Entry("search", "Train and evaluate on each fold of the data."),
        "infer": Entry("infer", "Submit a batch-inference job."),
        "generate": Entry("generate", "Generate text with a language model."),
        "evaluate": Entry("evaluate", "Evaluate a version on labelled data."),
        "jobs": Entry("jobs", "List, show, explain, plot, wait for, cancel and retry jobs."),
        "results": Entry("results", "Print, save and prune results of jobs."),
    },
    "Models": {
        "models": Entry("models", "Manage models, versions and aliases."),
        "store": Entry("space", "Remove unused blobs from the store."),
    },
    "Space": {
        "df": Entry("space", "Show what takes how much space."),
        "clean": Entry("space", "Remove what is old or unused."),
    },
    "This program": {
        "completion": Entry("shell", "Print the completion script of bash, zsh or fish."),
    },
    "Processes of a production cluster": {
        "worker": Entry("production.processes", "Run one worker per device."),
        "relay": Entry("production.processes", "Run the relay, which publishes waiting jobs."),
        "gateway": Entry("production.processes", "Run the HTTP gateway."),
        "flower": Entry("production.processes", "Run Flower, the web monitor of the workers."),
        "migrate": Entry("production.processes", "Create or upgrade the database tables."),
        "producers": Entry("production.producers", "Limit the jobs that producers may have."),
        "tokens": Entry("production.tokens", "Make, list and revoke tokens of the HTTP gateway."),
        "webhooks": Entry("production.webhooks", "Send events to URLs, and look at their deliveries."),
        "redis-acl": Entry("production.redis_acl", "Print users of Redis with the least rights."),
    },
}

COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}
