"""Engines stay open as long as their memory is not needed, and loaded versions give way to them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
import torch

from longshore.shared.store.store import Store
from longshore.workers.generate.engine_cache import EngineCache
from longshore.workers.generate.version import LanguageModel
from longshore.workers.models.cache import ModelCache
from longshore.workers.runtimes.base import Runtime
from tests.language_models import CONTEXT, save_language_model

#: More than two small engines take.
ROOM: Final = 10**12


def language_model(folder: Path, name: str) -> LanguageModel:
    save_language_model(folder / name)
    return LanguageModel(key=name, folder=folder / name, max_model_len=CONTEXT, end_tokens=(2,))


def no_models(capacity: int) -> ModelCache:
    def load(_: object) -> Runtime:
        raise AssertionError("nothing is loaded here")

    return ModelCache(capacity, load)


def cache(folder: Path, capacity: int) -> EngineCache:
    return EngineCache(capacity, torch.device("cpu"), Store(f"file://{folder}/store"), folder / "folders")


def test_an_engine_is_opened_once(tmp_path: Path) -> None:
    engines, model = cache(tmp_path, ROOM), language_model(tmp_path, "a")
    engine = engines.get(model, "auto", no_models(ROOM))
    assert engines.get(model, "transformers", no_models(ROOM)) is engine
    assert engines.nbytes == engine.nbytes > 0
    engines.close()
    assert engines.nbytes == 0


@pytest.mark.parametrize(("capacity", "kept"), [(ROOM, True), (1, False)])
def test_another_model_closes_the_engine_only_if_both_do_not_fit(tmp_path: Path, capacity: int, kept: bool) -> None:
    engines = cache(tmp_path, capacity)
    one, two = language_model(tmp_path, "a"), language_model(tmp_path, "b")
    first = engines.get(one, "auto", no_models(capacity))
    second = engines.get(two, "auto", no_models(capacity))
    assert engines.nbytes == (first.nbytes + second.nbytes if kept else second.nbytes)
    assert (engines.get(one, "auto", no_models(capacity)) is first) is kept
    engines.close()


def test_loaded_versions_can_claim_the_memory_of_an_engine(tmp_path: Path) -> None:
    engines = cache(tmp_path, ROOM)
    engine = engines.get(language_model(tmp_path, "a"), "auto", no_models(ROOM))
    engines.free(ROOM - engine.nbytes)
    assert engines.nbytes == engine.nbytes
    engines.free(ROOM)
    assert engines.nbytes == 0


def test_an_engine_that_has_failed_is_opened_again(tmp_path: Path) -> None:
    engines, model = cache(tmp_path, ROOM), language_model(tmp_path, "a")
    engine = engines.get(model, "auto", no_models(ROOM))
    engines.drop(engine)
    assert engines.get(model, "auto", no_models(ROOM)) is not engine
    engines.close()
