"""Texts of an evaluation come from the engine, and expected texts cost what transformers and peft say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from longshore.workers.evaluation.texts import ReferenceScorer, generate_texts
from longshore.workers.generate.engines.base import AdapterFiles, Completion, Sampling
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.rows import PreparedRow
from longshore.workers.generate.version import GenerationDefaults, LanguageModel, LanguageVersion
from longshore.workers.process.draining import HandBack
from tests.language_models import CONTEXT, save_language_model
from tests.lora_adapters import load_with_peft, save_adapter
from tests.seq2seq_models import save_seq2seq_model

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
CPU = torch.device("cpu")


def version_of(folder: Path, adapter: AdapterFiles | None = None, max_model_len: int = CONTEXT) -> LanguageVersion:
    return LanguageVersion(
        digest="digest",
        model=LanguageModel(key="key", folder=folder, max_model_len=max_model_len, end_tokens=(2,)),
        adapter=adapter,
        chat_template=None,
        defaults=GenerationDefaults(),
        special_tokens={},
    )


@pytest.mark.parametrize("model_type", ["bart", "t5"])
def test_the_cost_of_a_text_after_an_encoder_is_the_loss_of_transformers(tmp_path: Path, model_type: str) -> None:
    save_seq2seq_model(tmp_path, model_type)
    version = version_of(tmp_path)
    scorer = ReferenceScorer(replace(version, model=replace(version.model, encoder_decoder=True)), CPU)
    module = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    for prompt, reference in (([5, 6, 7], [8, 9, 10, 11]), ([5], [6]), (list(range(3, 60)), list(range(60, 100)))):
        with torch.no_grad():  # the library puts decoder_start_token_id before the labels
            loss = module(input_ids=torch.tensor([prompt]), labels=torch.tensor([reference])).loss
        assert scorer.cost(prompt, reference) == pytest.approx(float(loss) * len(reference), rel=1e-4)
    assert (scorer.cost([5] * 65, [6]) is None) == (model_type == "bart"), "T5 has no positions"
    assert scorer.cost([5], [6, 5000]) is None


@pytest.mark.parametrize("adapted", [False, True])
def test_the_cost_of_a_text_is_the_loss_of_transformers(tmp_path: Path, adapted: bool) -> None:
    base = tmp_path / "base"
    save_language_model(base)
    adapter = AdapterFiles("a", tmp_path / "adapter") if adapted else None
    if adapter is not None:
        save_adapter(base, adapter.folder)
    module = AutoModelForCausalLM.from_pretrained(base) if adapter is None else load_with_peft(base, adapter.folder)
    scorer = ReferenceScorer(version_of(base, adapter), CPU)
    for prompt, reference in (([5, 6, 7], [8, 9, 10, 11]), ([5], [6]), (list(range(3, 60)), list(range(60, 100)))):
        ids = torch.tensor([[*prompt, *reference]])
        labels = torch.tensor([[-100] * len(prompt) + reference])  # ignored
        with torch.no_grad():
            loss = float(module(input_ids=ids, labels=labels).loss) * len(reference)
        assert scorer.cost(prompt, reference) == pytest.approx(loss, rel=1e-4)
    short = ReferenceScorer(version_of(base, adapter, max_model_len=8), CPU)
    assert short.cost([5] * 4, [6] * 4) is not None
    assert short.cost([5] * 5, [6] * 4) is None
    # A tokenizer can have tokens that the network does not.
    assert scorer.cost([5], [6, 5000]) is None
    assert scorer.cost([5, 5000], [6]) is None


def test_rows_fill_the_engine_and_keep_their_numbers(tmp_path: Path) -> None:
    save_language_model(tmp_path / "base")
    model = version_of(tmp_path / "base").model
    engine = open_engine("transformers", model, CPU, EngineOptions(max_requests=2))
    sampling = Sampling(max_tokens=5)

    def rows() -> Iterator[tuple[int, PreparedRow]]:
        for row in range(0, 40, 2):
            yield row, PreparedRow(tokens=[5 + row, 6], samplings=(sampling,))

    most = 0

    def check() -> None:
        nonlocal most
        most = max(most, engine.unfinished)

    texts = dict(generate_texts(engine, itertools.count(), rows(), None, check))
    assert texts.keys() == set(range(0, 40, 2))
    assert most == engine.capacity
    module = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    for row, completion in texts.items():
        assert isinstance(completion, Completion)
        ids = torch.tensor([[5 + row, 6]])
        output = module.generate(  # type: ignore[misc]
            input_ids=ids, max_new_tokens=5, do_sample=False, eos_token_id=2, pad_token_id=0
        )
        assert list(completion.tokens) == [token for token in output[0, 2:].tolist() if token != 2]

    def stop() -> None:
        raise HandBack

    with pytest.raises(HandBack):
        list(generate_texts(engine, itertools.count(), rows(), None, stop))
    assert engine.unfinished == 0
    engine.close()
