"""The settings of a version are the options of its engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generation_settings import GenerationSettings
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.version import LanguageModel
from tests.language_models import save_language_model


def test_the_engine_has_the_settings_of_the_version(tmp_path: Path) -> None:
    save_language_model(tmp_path)

    def opened(**settings: object) -> int:
        of_version = GenerationSettings.model_validate(settings)
        model = LanguageModel(key="a", folder=tmp_path, max_model_len=512, end_tokens=(2,), settings=of_version)
        engine = open_engine("transformers", model, torch.device("cpu"))
        try:
            return engine.nbytes
        finally:
            engine.close()

    assert opened(dtype="bfloat16") < opened()
    with pytest.raises(InvalidInput, match="fp8: the engine transformers does not have it"):
        opened(quantization="fp8")
    with pytest.raises(InvalidInput, match="2: the engine transformers does not have it"):
        opened(tensor_parallel=2)
