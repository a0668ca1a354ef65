"""Open engines. They stay open between sessions; one that does not run is closed if its memory is needed."""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import torch

from longshore.shared.ledger.records import Claim
from longshore.shared.store.store import Store
from longshore.shared.vocabulary import EngineName
from longshore.workers.generate.engines.base import Engine
from longshore.workers.generate.engines.open import RealEngineName, choose_engine, open_engine, runs_alone
from longshore.workers.generate.engines.options import DEFAULT_OPTIONS, EngineOptions
from longshore.workers.generate.folders import model_folders
from longshore.workers.generate.version import LanguageModel, LanguageVersion, open_version
from longshore.workers.models.cache import ModelCache
from longshore.workers.models.error_kinds import is_out_of_memory
from longshore.workers.process.gc_tuning import collect_and_freeze, freeze_heap

log = logging.getLogger(__name__)

#: Versions whose files stay laid out: those of one model differ in their adapters.
MAX_VERSIONS: Final = 256


class EngineCache:
    """Open engines, least recently used first, and the versions that they run.

    :param capacity: bytes that they and loaded models may take together. A single larger engine is open all the same.
    :param folders: where the files of versions are laid out.
    :param options: how the worker opens engines.
    """

    def __init__(
        self,
        capacity: int,
        device: torch.device,
        store: Store,
        folders: Path,
        options: EngineOptions = DEFAULT_OPTIONS,
    ) -> None:
        self._capacity = capacity
        self._device = device
        self._options = options
        self._store = store
        self._folders = folders
        self._root: Path | None = None
        self._stack = ExitStack()
        self._versions: OrderedDict[str, LanguageVersion] = OrderedDict()
        self._engines: OrderedDict[tuple[str, RealEngineName], Engine] = OrderedDict()
        #: Ids of requests. They are not used again while an engine is open.
        self.ids: Iterator[int] = itertools.count()

    def version(self, claim: Claim) -> LanguageVersion:
        """The version that a shard runs, with its files laid out.

        :raises InvalidInput: it does not generate text, or this worker lacks what it needs.
        :raises CorruptBlob: a file of it cannot be loaded.
        """
        if claim.digest is None:
            raise ValueError(f"job {claim.job_id} has no version to run")
        version = self._versions.get(claim.digest)
        if version is None:
            if self._root is None:
                self._root = self._stack.enter_context(model_folders(self._folders))
            version = open_version(self._store.get_manifest(claim.digest), self._store.fetch_blob, self._root)
            self._versions[claim.digest] = version
            while len(self._versions) > MAX_VERSIONS:
                self._versions.popitem(last=False)
        self._versions.move_to_end(claim.digest)
        return version

    def get(self, model: LanguageModel, name: EngineName, models: ModelCache) -> Engine:
        """The engine of a model; opens it if it is not open.

        :param models: what makes room for it.
        :raises InvalidInput: this worker lacks the engine, or the engine cannot run the model.
        :raises CorruptBlob: the files cannot be loaded.
        """
        key = (model.key, choose_engine(name, self._device))
        engine = self._engines.get(key)
        if engine is None:
            if runs_alone(key[1]):
                self._close_all(key[1])
            needed = sum(path.stat().st_size for path in model.folder.rglob("*.safetensors"))
            if runs_alone(key[1]) and self._device.type == "cuda":
                needed = self._capacity
            self._make_room(needed, models)
            engine = self._open_or_evict(model, key[1], models)
            self._make_room(engine.nbytes, models)  # now it is known what it takes
            self._engines[key] = engine
            log.info("opened the engine %s, which takes %.1f MB", key[1], engine.nbytes / 1e6)
            freeze_heap()
        self._engines.move_to_end(key)
        return engine

    def drop(self, engine: Engine) -> None:
        """Close an engine that has failed."""
        for key, each in list(self._engines.items()):
            if each is engine:
                del self._engines[key]
                _close(each)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(engine.nbytes for engine in self._engines.values())

    def free(self, needed: int) -> None:
        """Close engines until so many bytes can be used, or none is open. Not to be called while one runs."""
        while self._engines and self.nbytes + needed > self._capacity:
            _, engine = self._engines.popitem(last=False)
            log.info("closed an engine to make room")
            _close(engine)

    def close(self) -> None:
        """Close all engines, and remove what was laid out."""
        while self._engines:
            _close(self._engines.popitem()[1])
        self._stack.close()

    def _close_all(self, name: RealEngineName) -> None:
        for key in [each for each in self._engines if each[1] == name]:
            _close(self._engines.pop(key))

    def _make_room(self, needed: int, models: ModelCache) -> None:
        self.free(needed)
        models.free(self.nbytes + needed)

    def _open_or_evict(self, model: LanguageModel, name: RealEngineName, models: ModelCache) -> Engine:
        try:
            return open_engine(name, model, self._device, self._options)
        except Exception as error:
            if not is_out_of_memory(error) or not (self._engines or models.nbytes):
                raise
        log.info("closing all engines and unloading all versions to make room")
        self._make_room(self._capacity, models)
        return open_engine(name, model, self._device, self._options)


def _close(engine: Engine) -> None:
    try:
        engine.close()
    except Exception as error:  # its memory is free, or this process ends for lack of it
        log.warning("an engine was not closed: %s: %s", type(error).__name__, error)
    collect_and_freeze()
