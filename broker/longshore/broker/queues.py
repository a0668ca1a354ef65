"""The names under which processes meet in Redis."""

from __future__ import annotations

#: The queues, one for each class of device.
QUEUES = ("cpu", "gpu")
#: The exchange of questions to workers and commands, and that of the answers.
CONTROL_EXCHANGE = "celery.pidbox"
REPLY_EXCHANGE = "reply.celery.pidbox"
