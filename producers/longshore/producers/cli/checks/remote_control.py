"""Check of the remote control of workers over Redis."""

from __future__ import annotations

from longshore.broker.app import make_app
from longshore.broker.inbound.control import VARIABLE, RemoteControl
from longshore.broker.redis_errors import RedisUnavailable, lacks_rights, redis_errors
from longshore.producers.cli.checks.check import Check, Level
from longshore.shared.settings import Settings

#: Seconds that workers have to answer.
ANSWER_TIMEOUT_S = 1.0


def check_remote_control(settings: Settings) -> Check:
    """Check that the workers that answer obey no commands over Redis.

    :raises ServiceUnavailable: Redis cannot be reached.
    """
    app = make_app(settings)
    try:
        # A connection of its own: one of the pool may have been closed by Redis in the meantime.
        with redis_errors(), app.connection_for_write() as connection:
            answers = app.control.inspect(timeout=ANSWER_TIMEOUT_S, connection=connection).conf() or {}
    except RedisUnavailable as error:
        if not lacks_rights(error):
            raise
        return Check("remote", Level.OK, "this user of Redis may not ask workers; that of the monitor may")
    finally:
        app.close()
    obeying = sorted(
        worker
        for worker, conf in answers.items()
        # A worker of the first release has no such setting, and obeys.
        if conf.get("broker_transport_options", {}).get("remote_control") != RemoteControl.INSPECT
    )
    if obeying:
        detail = f"{', '.join(obeying)} obey commands over Redis; remove {VARIABLE}=all, or upgrade the worker"
        return Check("remote", Level.WARN, detail)
    who = "1 worker answers" if len(answers) == 1 else f"{len(answers)} workers answer"
    return Check("remote", Level.OK, f"{who} questions; no commands over Redis are obeyed")
