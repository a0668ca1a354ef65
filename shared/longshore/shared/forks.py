"""What a forked child must forget: connections, pools and locks belong to the process that made them.

A child has copies of its parent's sockets. If it used one, both would read the answers of the other; if it closed one,
it would say goodbye in the parent's name. So each object that holds connections registers here, and forgets them in the
child before anything else runs there: after ``os.fork``, :mod:`multiprocessing` with the start method ``fork``, and
``gunicorn --preload``.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

import uuid_utils


class ForkAware(Protocol):
    """Something with connections or locks of its own."""

    def forget_parent(self) -> None:
        """Give up what is shared with the parent, without touching it, and make new locks.

        Other threads of the parent may have held any lock, and do not exist in the child.
        """


_registered: WeakSet[ForkAware] = WeakSet()
#: Never freed in the child: freeing a connection can close it for the parent, too.
_kept: list[object] = []


def call_after_fork(of: ForkAware) -> None:
    """Have ``of.forget_parent()`` called in every forked child, as long as ``of`` exists."""
    _registered.add(of)


def keep(of: object) -> None:
    """Keep an object of the parent alive in the child, so that nothing is closed when it would be freed."""
    _kept.append(of)


def _after_fork() -> None:
    # Or two children would give their jobs the same ids.
    uuid_utils.reseed_rng()
    for each in list(_registered):
        each.forget_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)


def refuse_pickling(of: object, remedy: str) -> TypeError:
    """The error of an object with connections that is to be pickled.

    :param remedy: what to pass to the other process instead.
    """
    return TypeError(
        f"a {type(of).__name__} cannot be pickled: it holds connections, and its addresses contain passwords; {remedy}"
    )
