"""Small text models with random weights, as transformers and sentence-transformers save them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
)

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "under",
    "mat",
    "moon",
    "red",
    "blue",
    "un",
    "##ed",
    "##s",
    "##ing",
    ".",
]
TEXTS = ["the cat sat", "", "the dog ran under the blue moon .", "a red mat", "unseen words", "cats running " * 20]
#: Tokens that the models can take, with the special ones.
POSITIONS = 24


def save_tokenizer(folder: Path) -> None:
    """A WordPiece tokenizer of some words."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **special)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)


def save_model(
    folder: Path, model_type: str = "bert", *, head: bool = False, shards: bool = False, **more: object
) -> None:
    """A network of two layers, 16 wide, and its tokenizer."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if model_type == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
    if model_type in ("albert", "electra"):
        sizes["embedding_size"] = 12
    # Those that begin to count after the padding token need two positions more.
    longest = POSITIONS + 2 if model_type in ("camembert", "mpnet", "roberta", "xlm-roberta") else POSITIONS
    config = AutoConfig.for_model(
        model_type, **sizes, vocab_size=5 + len(WORDS), max_position_embeddings=longest, pad_token_id=0, **more
    )
    kind = AutoModelForSequenceClassification if head else AutoModel
    module: torch.nn.Module = kind.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in module.parameters():  # far from each other, so that texts differ in what comes of them
        torch.nn.init.normal_(parameter, std=0.3)
    module.save_pretrained(  # type: ignore[operator]
        folder, max_shard_size="4KB" if shards else "1GB"
    )
    save_tokenizer(folder)


def save_token_labels(folder: Path, labels: Sequence[str]) -> None:
    """A network that gives each token one of the labels."""
    save_model(folder, id2label=dict(enumerate(labels)))
    network: torch.nn.Module = AutoModelForTokenClassification.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.from_pretrained(folder)
    )
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    network.save_pretrained(folder)  # type: ignore[operator]


def save_sentence(
    folder: Path, model_type: str = "bert", pooling: str = "mean", *, normalize: bool = True, **more: object
) -> None:
    """An embedding model, as sentence-transformers lays it out."""
    save_model(folder, model_type, **more)  # type: ignore[arg-type]
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": at, "name": str(at), "path": paths[at], "type": f"sentence_transformers.models.{kind}"}
        for at, kind in enumerate(kinds)
    ]
    modes = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    told = {"word_embedding_dimension": 16} | {f"pooling_mode_{name}": key == pooling for key, name in modes.items()}
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(told))
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12, "do_lower_case": False}))
