"""Which engine runs a job, and with which settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.generation_settings import GenerationSettings
from longshore.workers.generate.engines.open import choose_engine, open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.transformers import TransformersEngine
from longshore.workers.generate.version import LanguageModel
from tests.language_models import save_language_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("models") / "llama"
    save_language_model(folder)
    return LanguageModel(key="a", folder=folder, max_model_len=512, end_tokens=(2,))


def weights_type(engine: object) -> torch.dtype:
    assert isinstance(engine, TransformersEngine)
    return engine._batcher._module.dtype


def test_on_a_cpu_auto_is_transformers() -> None:
    assert choose_engine("auto", CPU) == "transformers"
    assert choose_engine("transformers", torch.device("cuda:0")) == "transformers"


def test_an_engine_that_the_worker_lacks_is_refused_with_its_extra() -> None:
    assert choose_engine("auto", torch.device("cuda:0")) == "transformers"
    with pytest.raises(
        InvalidInput, match=r"engine: vllm is not installed on this worker; pip install 'longshore\[vll"
    ):
        choose_engine("vllm", CPU)


def test_settings_of_the_version_hold_unless_the_worker_has_others(model: LanguageModel) -> None:
    asks = replace(model, settings=GenerationSettings(dtype="bfloat16"))
    assert weights_type(open_engine("auto", model, CPU)) == torch.float32
    assert weights_type(open_engine("auto", asks, CPU)) == torch.bfloat16
    assert weights_type(open_engine("auto", asks, CPU, EngineOptions(dtype="float32"))) == torch.float32


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (GenerationSettings(tensor_parallel=2), "tensor_parallel"),
        (GenerationSettings(quantization="fp8"), "quantization"),
    ],
)
def test_settings_that_the_engine_does_not_know_are_refused(
    settings: GenerationSettings, field: str, model: LanguageModel
) -> None:
    with pytest.raises(InvalidInput, match=field):
        open_engine("transformers", replace(model, settings=settings), CPU)


def test_weights_that_do_not_fit_are_refused(model: LanguageModel, tmp_path: Path) -> None:
    save_language_model(tmp_path / "deep", layers=3)
    save_language_model(tmp_path / "wide", width=128)
    for name in ("config.json", "generation_config.json"):
        (tmp_path / "deep" / name).write_bytes((model.folder / name).read_bytes())
        (tmp_path / "wide" / name).write_bytes((model.folder / name).read_bytes())
    with pytest.raises(CorruptBlob, match=r"unexpected keys: model\.layers\.2"):
        open_engine("transformers", replace(model, folder=tmp_path / "deep"), CPU)
    with pytest.raises(CorruptBlob, match="mismatched"):
        open_engine("transformers", replace(model, folder=tmp_path / "wide"), CPU)
    weights = tmp_path / "deep" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CorruptBlob, match="cannot be loaded"):
        open_engine("transformers", replace(model, folder=tmp_path / "deep"), CPU)
