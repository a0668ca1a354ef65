"""Every language model that can be imported computes what the library computes from the folder itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.architectures import DECODERS
from longshore.shared.model_formats.huggingface.language import TOKENIZER_CLASSES
from longshore.shared.store.manifest import Manifest
from longshore.workers.generate.folders import model_folders
from longshore.workers.generate.version import LanguageVersion, open_version
from tests.language_models import SENTENCES, save_language_model, set_generation_config

_EXPERTS: dict[str, object] = {
    **{"num_experts": 4, "num_experts_per_tok": 2},
    **{"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
}
#: Settings that a network has under a name of its own, or that it needs.
_EXTRA: dict[str, dict[str, object]] = {
    "falcon": {"ffn_hidden_size": 128},
    "gpt2": {"n_inner": 128, "num_key_value_heads": 4},
    "gpt_bigcode": {"num_key_value_heads": 1},
    "gpt_neox": {"num_key_value_heads": 4},
    "gptj": {"rotary_dim": 8},
    "mixtral": {"num_local_experts": 4},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64, "num_key_value_heads": 4},
    "olmoe": _EXPERTS,
    "qwen2_moe": _EXPERTS,
    "qwen3_moe": _EXPERTS,
}
#: Networks whose heads are not as wide as the network divided by their number.
_HEADS = (
    *("gemma", "gemma2", "gemma3_text", "qwen3", "qwen3_moe", "helium", "seed_oss", "smollm3", "glm", "glm4"),
    *("cohere2", "exaone4", "ernie4_5", "hunyuan_v1_dense"),
)

Opener = Callable[[Path], LanguageVersion]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Imports a folder, and opens the version."""
    with model_folders(tmp_path / "folders") as root:

        def open_folder(folder: Path) -> LanguageVersion:
            imported = read_import(folder, None)
            paths = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
            return open_version(Manifest.parse(imported.manifest.canonical()), paths.__getitem__, root)

        yield open_folder


def logits(folder: Path) -> torch.Tensor:
    """What the library computes. A weight that is missing would be drawn, differently each time."""
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        computed = module.eval()(torch.tensor([[5, 9, 300, 17, 2, 44, 8]])).logits  # type: ignore[no-untyped-call]
    assert isinstance(computed, torch.Tensor)
    return computed


@pytest.mark.parametrize("model_type", DECODERS)
def test_equal_logits(model_type: str, tmp_path: Path, opened: Opener) -> None:
    more = {**_EXTRA.get(model_type, {}), **({"head_dim": 16} if model_type in _HEADS else {})}
    if DECODERS[model_type].tied:
        more["tie_word_embeddings"] = True
    save_language_model(tmp_path / "model", model_type, **more)  # type: ignore[arg-type]
    version = opened(tmp_path / "model")
    assert version.model.max_model_len == 512
    assert torch.equal(logits(version.model.folder), logits(tmp_path / "model"))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["architectures"] == [DECODERS[model_type].name]


def test_shards_and_bfloat16(tmp_path: Path, opened: Opener) -> None:
    save_language_model(tmp_path / "model", shard_size="100KB")
    AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.bfloat16).save_pretrained(
        tmp_path / "half", max_shard_size="100KB"
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "half" / name).write_bytes((tmp_path / "model" / name).read_bytes())
    version = opened(tmp_path / "half")
    assert len(list(version.model.folder.glob("*.safetensors"))) > 1
    assert torch.equal(logits(version.model.folder), logits(tmp_path / "half"))


def write_unigrams(path: Path) -> None:
    """A tokenizer as SentencePiece makes them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.UnigramTrainer(vocab_size=100, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    path.write_text(tokenizer.to_str())


@pytest.mark.parametrize("name", TOKENIZER_CLASSES)
def test_equal_tokens(name: str, tmp_path: Path, opened: Opener) -> None:
    save_language_model(tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    changed = {"tokenizer_class": name, "bos_token": "<|im_start|>", "unk_token": "<|endoftext|>"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    if name in ("MBartTokenizer", "PegasusTokenizer", "T5Tokenizer"):
        write_unigrams(tmp_path / "model" / "tokenizer.json")
    texts = ["the cat sat under the mat", " a  dog\n ran ", "<|im_start|>user\nGrüße 42 \U0001f600<|im_end|>", ""]
    version = opened(tmp_path / "model")
    ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (version.model.folder, tmp_path / "model"))
    assert [ours(text)["input_ids"] for text in texts] == [theirs(text)["input_ids"] for text in texts]
    assert version.special_tokens == theirs.special_tokens_map


def test_a_network_that_is_larger_than_its_files_is_refused(tmp_path: Path, opened: Opener) -> None:
    save_language_model(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intermediate_size": 2**20}))
    with pytest.raises(InvalidInput, match=r"describes a network of \d+ weights, but its files have 1"):
        opened(tmp_path / "model")


def test_end_tokens_and_defaults(tmp_path: Path, opened: Opener) -> None:
    save_language_model(tmp_path / "model")
    set_generation_config(
        tmp_path / "model", eos_token_id=[0, 2, 7], do_sample=True, temperature=0.6, top_p=0.9, max_new_tokens=32
    )
    version = opened(tmp_path / "model")
    assert version.model.end_tokens == (0, 2, 7)
    assert (version.defaults.temperature, version.defaults.top_p, version.defaults.max_tokens) == (0.6, 0.9, 32)
    assert version.defaults.top_k == 50  # as generate() of the library
    assert version.special_tokens == {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
