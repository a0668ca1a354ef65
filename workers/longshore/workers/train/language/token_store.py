"""The tokens of many documents in files, which are mapped into memory: a training holds none of its texts."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from longshore.shared.errors import ServiceUnavailable
from longshore.workers.train.language.documents import Document

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class TokenizedTexts:
    """Documents, one after another."""

    #: int32 ``(tokens,)``.
    tokens: npt.NDArray[np.int32]
    #: Where each document starts, and the end of the last one; int64 ``(documents + 1,)``.
    starts: npt.NDArray[np.int64]
    #: Whether each token is learned, bool ``(tokens,)``; ``None``: all but the first of each document.
    learned: npt.NDArray[np.bool_] | None
    #: Answers that are empty, and documents whose last messages were left out, because no answer follows them.
    empty: int = 0
    unanswered: int = 0

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each document."""
        return np.diff(self.starts)


class TokenWriter:
    """Writes documents to the files of one split. It is a context manager; read them with :meth:`texts` afterwards.

    :param folder: where the files are made.
    :param masked: whether only some tokens of a document are learned.
    """

    def __init__(self, folder: Path, name: str, *, masked: bool) -> None:
        self._paths = (folder / f"{name}.tokens", folder / f"{name}.learned")
        self._tokens = self._paths[0].open("wb")
        self._learned = self._paths[1].open("wb") if masked else None
        self._starts = array("q", [0])
        self._empty = self._unanswered = 0

    def __enter__(self) -> TokenWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tokens.close()
        if self._learned is not None:
            self._learned.close()

    def add(self, document: Document) -> None:
        """Append a document.

        :raises ServiceUnavailable: the disk is full.
        """
        try:
            self._tokens.write(np.asarray(document.ids, np.int32).tobytes())
            if self._learned is not None:
                learned = document.learned if document.learned is not None else [True] * len(document.ids)
                self._learned.write(np.asarray(learned, np.bool_).tobytes())
        except OSError as error:
            raise ServiceUnavailable(f"cannot write tokens to {self._paths[0].parent}: {error}; free space") from error
        self._starts.append(self._starts[-1] + len(document.ids))
        self._empty += document.empty
        self._unanswered += document.unanswered

    def texts(self) -> TokenizedTexts:
        """The documents; the files must stay."""
        starts = np.array(self._starts, np.int64)
        learned = None if self._learned is None else _mapped(self._paths[1], np.bool_)
        return TokenizedTexts(_mapped(self._paths[0], np.int32), starts, learned, self._empty, self._unanswered)


def _mapped(path: Path, kind: type[_Number]) -> npt.NDArray[_Number]:
    # An empty file cannot be mapped.
    return np.memmap(path, kind, mode="r") if path.stat().st_size else np.empty(0, kind)
