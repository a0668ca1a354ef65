"""Encoders with decoders: what the engine writes is what ``generate`` of the library writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.architectures import ENCODER_DECODERS
from longshore.workers.generate.engines.base import (
    AdapterFiles,
    BegunText,
    Completion,
    Constraint,
    Engine,
    EngineRequest,
    Sampling,
)
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.folders import model_folders
from longshore.workers.generate.version import LanguageVersion, open_version
from tests.language_models import set_generation_config
from tests.seq2seq_models import save_seq2seq_model

PROMPTS = ([5, 9, 300, 17, 2, 44, 8], [7] * 40, [3, 1], [200, 4, 6, 9])
LENGTH = 12

Opener = Callable[[Path], LanguageVersion]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Imports a folder, and opens the version."""
    with model_folders(tmp_path / "folders") as root:

        def open_folder(folder: Path) -> LanguageVersion:
            imported = read_import(folder, None)
            paths = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
            return open_version(imported.manifest, paths.__getitem__, root)

        yield open_folder


def opened_engine(version: LanguageVersion, requests: int | None = None) -> Engine:
    return open_engine("auto", version.model, torch.device("cpu"), EngineOptions(max_requests=requests))


def run(engine: Engine) -> dict[int, Completion]:
    completions: dict[int, Completion] = {}
    while engine.unfinished:
        step = engine.step()
        assert not step.failures
        completions |= {each.id: each for each in step.completions}
    return completions


def generated(folder: Path, prompt: Sequence[int], begin: int = 1) -> list[int]:
    """What the library writes, without the tokens that every text begins with."""
    module = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([prompt])
    found = module.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=LENGTH + begin - 1, num_beams=1)
    tokens: list[int] = found[0, begin:].tolist()
    return tokens[: tokens.index(2)] if 2 in tokens else tokens


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_equal_texts_for_every_size_of_batches(model_type: str, tmp_path: Path, opened: Opener) -> None:
    save_seq2seq_model(tmp_path / "model", model_type)
    version = opened(tmp_path / "model")
    expected = [generated(tmp_path / "model", prompt) for prompt in PROMPTS]
    assert any(len(set(tokens)) > 2 for tokens in expected)
    for requests in (1, 3, 8):
        engine = opened_engine(version, requests)
        for number, prompt in enumerate(PROMPTS):
            engine.add(EngineRequest(id=number, tokens=prompt, sampling=Sampling(max_tokens=LENGTH)))
        completions = run(engine)
        assert [list(completions[number].tokens) for number in range(len(PROMPTS))] == expected
        engine.close()


def test_a_forced_first_token(tmp_path: Path, opened: Opener) -> None:
    save_seq2seq_model(tmp_path / "model", "mbart")
    set_generation_config(tmp_path / "model", forced_bos_token_id=9)
    engine = opened_engine(opened(tmp_path / "model"))
    engine.add(EngineRequest(id=0, tokens=PROMPTS[0], sampling=Sampling(max_tokens=LENGTH)))
    expected = generated(tmp_path / "model", PROMPTS[0], begin=2)
    assert list(run(engine)[0].tokens) == expected


def test_requests_have_their_own_options_and_leave_at_once(tmp_path: Path, opened: Opener) -> None:
    save_seq2seq_model(tmp_path / "model", "bart")
    engine = opened_engine(opened(tmp_path / "model"))
    drawn = Sampling(max_tokens=LENGTH, min_tokens=LENGTH, temperature=1.0, seed=3, logprobs=2)
    chosen = Sampling(max_tokens=LENGTH, constraint=Constraint(choices=("red mat", "dog")))
    engine.add(EngineRequest(id=0, tokens=PROMPTS[0], sampling=drawn))
    engine.add(EngineRequest(id=1, tokens=PROMPTS[0], sampling=Sampling(max_tokens=3, min_tokens=3)))
    engine.add(EngineRequest(id=2, tokens=PROMPTS[1], sampling=chosen))
    engine.add(EngineRequest(id=3, tokens=PROMPTS[1], sampling=Sampling(max_tokens=LENGTH)))
    engine.step()
    engine.cancel([3])
    assert engine.unfinished == 3
    completions = run(engine)
    assert completions.keys() == {0, 1, 2}
    assert completions[2].text in ("red mat", "dog")
    assert (len(completions[1].tokens), completions[1].finish) == (3, "length")
    assert len(completions[0].logprobs or ()) == LENGTH
    engine.add(EngineRequest(id=4, tokens=PROMPTS[0], sampling=drawn))
    assert run(engine)[4].tokens == completions[0].tokens


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_texts_go_on_where_other_requests_have_left_them(model_type: str, tmp_path: Path, opened: Opener) -> None:
    save_seq2seq_model(tmp_path / "model", model_type)
    samplings = (
        Sampling(max_tokens=LENGTH, min_tokens=LENGTH),
        Sampling(max_tokens=LENGTH, min_tokens=LENGTH, temperature=1.0, seed=3, logprobs=2),
        Sampling(max_tokens=LENGTH, min_tokens=LENGTH, repetition_penalty=1.5, frequency_penalty=1.0),
        Sampling(max_tokens=2 * LENGTH, constraint=Constraint(choices=("once upon a time", "once upon a moon"))),
    )
    requests = [
        EngineRequest(id=number, tokens=prompt, sampling=sampling)
        for number, (prompt, sampling) in enumerate(zip(PROMPTS, samplings, strict=True))
    ]
    engine = opened_engine(opened(tmp_path / "model"))
    for request in requests:
        engine.add(request)
    begun = dict[int, BegunText]()
    for steps in (3, 2):  # the second half of the texts is two tokens longer
        for _ in range(steps):
            engine.step()
        begun |= engine.texts(range(len(begun), len(begun) + 2))
    assert [len(begun[number].tokens) for number in range(4)] == [3, 3, 5, 5]
    whole = run(engine)
    for request in (*requests, replace(requests[0], id=9)):
        engine.add(replace(request, begun=begun.get(request.id)))
    generated, completions = 0, dict[int, Completion]()
    while engine.unfinished:
        step = engine.step()
        generated += step.generated_tokens
        completions |= {each.id: each for each in step.completions}
    for number, completion in whole.items():
        assert (completions[number].tokens, completions[number].text) == (completion.tokens, completion.text)
    assert completions[9].tokens == whole[0].tokens
    assert len(completions[1].logprobs or ()) == LENGTH
    ended = sum(each.finish == "stop" for each in completions.values())
    assert generated == sum(len(each.tokens) for each in completions.values()) - 16 + ended


def test_what_is_refused(tmp_path: Path, opened: Opener) -> None:
    save_seq2seq_model(tmp_path / "model", "bart")
    version = opened(tmp_path / "model")
    assert version.model.max_model_len == 128
    engine = opened_engine(version)
    engine.add(EngineRequest(id=0, tokens=[5] * 65, sampling=Sampling(max_tokens=4)))
    engine.add(EngineRequest(id=1, tokens=[5], sampling=Sampling(max_tokens=64)))
    failures = engine.step().failures
    assert failures.keys() == {0, 1}
    assert "is over the 64 positions" in failures[0]
    assert engine.unfinished == 0
    adapter = AdapterFiles("a", tmp_path)
    with pytest.raises(InvalidInput, match="adapters of an encoder with a decoder"):
        engine.add(EngineRequest(id=2, tokens=[5], sampling=Sampling(max_tokens=1), adapter=adapter))
