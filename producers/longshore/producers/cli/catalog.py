"""Every command: where it is, and its line in ``longshore --help``. Nothing is imported to show that help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One command, or group of commands."""

    #: The module of this package it stands in; what it is called there is its name.
    module: str
    help: str


#: The sections of the help, in order, and the commands of each.
SECTIONS: dict[str, dict[str, Entry]] = {
    "A cluster on this machine": {
        "up": Entry("services", "Start everything, and stay until Ctrl-C."),
        "down": Entry("services", "Stop everything."),
        "status": Entry("status", "Show what runs, and where."),
        "demo": Entry("demo", "Train and use a model on real data, in about a minute."),
        "doctor": Entry("doctor", "Check the installation and the cluster."),
    },
    "Jobs": {
        "train": Entry("train", "Submit a training job."),
        "tune": Entry("search", "Search for the best training."),
        "cross-validate": Entry("search", "Train on all folds of the data but one, for each."),
        "infer": Entry("infer", "Submit a batch-inference job."),
        "evaluate": Entry("evaluate", "Measure a version on data whose targets are known."),
        "jobs": Entry("jobs", "List, show, wait for, cancel and retry jobs."),
        "results": Entry("results", "Print or save the results of a job, or prune old ones."),
    },
    "Models": {
        "models": Entry("models", "List, show, promote, import, export and delete versions."),
        "store": Entry("pruning", "Remove from the store what nothing names."),
    },
    "Processes of a cluster of your own": {
        "worker": Entry("processes", "Run a worker on each device."),
        "relay": Entry("processes", "Run the relay, which publishes what waits."),
        "flower": Entry("processes", "Run Flower, to watch the workers."),
        "migrate": Entry("processes", "Bring the database's tables up to date."),
    },
}

COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}
