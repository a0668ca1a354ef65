"""What Flower shows as the state of a task: what became of its shards, in words.

To Celery, a task has succeeded once its message was taken care of, however its shards have ended. Here, the end of a
task with a shard that failed is a failure, of one whose shards were stopped a revocation, and of one whose shards wait
for another time a retry. So Flower's own filters, colours and counts hold, and programs that read its API find Celery's
names. People read words of Longshore instead of these names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from flower.events import EventsState
from tornado.template import Loader, Template

#: The event that a task has ended with, by what its result says of its shards; the first that it says counts. The words
#: are those of ``longshore.workers.execution``. To Celery, the last is a state of its own.
ENDS: Final = {
    "failed": "task-failed",
    "stopped": "task-revoked",
    "put off": "task-retried",
    "handed back": "task-retried",
    "nothing to run": "task-skipped",
}
#: What people read, by the states of Celery.
WORDS: Final = {
    "RECEIVED": "received",
    "STARTED": "running",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "REVOKED": "stopped",
    "RETRY": "runs again",
    "SKIPPED": "nothing to run",
}
#: States in which a task does not run.
ENDED: Final = WORDS.keys() - {"RECEIVED", "STARTED"}
#: ``3 shards (1 failed, 1 stopped) for ...``, or a message that no shard ran of. What follows are names.
_SAID: Final = re.compile(r"\d+ shards? \(([^)]*)\)|(handed back|nothing to run)")
#: Beside this file: what the pages run.
SCRIPT: Final = "task_pages.js"


class TaskStates(EventsState):  # type: ignore[misc]  # the library has no types
    """Flower's memory of what workers report, with the ends of tasks as they were."""

    def event(self, event: dict[str, object]) -> None:
        """Take one event of a worker."""
        if event["type"] != "task-progress":
            super().event(true_end(event))
            return
        task = self.tasks.get(event["uuid"])
        if task is not None and task.state in ENDED:
            return  # it comes late
        super().event(event)
        task = self.tasks[event["uuid"]]
        task.state = "STARTED"  # so that the filter for what runs finds it
        self.search_engine.upsert(task)


def true_end(event: dict[str, object]) -> dict[str, object]:
    """The event, with another type if it says that a task has succeeded whose shards have not."""
    if event["type"] != "task-succeeded":
        return event
    result = str(event.get("result", "")).strip("'")  # Celery quotes it
    said = _SAID.match(result)
    words = "" if said is None else said[1] or said[2]
    end = next((end for word, end in ENDS.items() if word in words), event["type"])
    return {**event, "type": end, "result": result}


class WordsLoader(Loader):
    """Loads Flower's pages, each with a script that writes the states as words, and the commands of a task's jobs."""

    def _create_template(self, name: str) -> Template:
        page = (Path(self.root) / name).read_text()
        if name == "base.html":
            script = (Path(__file__).parent / SCRIPT).read_text()
            page = page.replace("</body>", f"<script>const words = {json.dumps(WORDS)};\n{script}</script></body>")
        return Template(page, name=name, loader=self)
