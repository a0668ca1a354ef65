"""What is predicted: small models, and requests of one row whose labels are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.cluster import train_mlp
from longshore.producers import Client

#: Different requests, which callers send in turn.
REQUESTS: Final = 64
#: By how much the score of the right label leads: rows of a batch may differ by rounding.
MARGIN: Final = 0.05
CLASSES: Final = 4
VOCABULARY: Final = 30_522
TOKENS: Final = 32
WIDTH: Final = 784
HIDDEN: Final = 256

#: The label and the score of each row of a body.
Predict = Callable[[dict[str, list[list[float]]]], tuple[list[str], list[float]]]


@dataclass(frozen=True)
class Workload:
    """A model, by its name in the cluster.

    :param layers: of an encoder like BERT, 0 for an MLP.
    :param width: of its layers.
    """

    name: str
    layers: int = 0
    width: int = 0

    def prepare(self, folder: Path) -> None:
        """Write the network, and ``requests.json``: bodies and the labels of their answers."""
        torch.manual_seed(0)
        if self.layers:
            _save_encoder(folder, self.layers, self.width)
        else:
            torch.save(_mlp().state_dict(), folder / "mlp.pt")
        predict, random = self.load(folder), np.random.default_rng(0)
        requests: list[tuple[str, str]] = []
        while len(requests) < REQUESTS:
            body = _tokens(random) if self.layers else {"rows": random.random((1, WIDTH)).round(3).tolist()}
            [label], [score] = predict(body)
            if not self.layers:
                requests.append((json.dumps(body), ""))  # the network of the cluster is another one of its sizes
            elif score > (1 + MARGIN) / 2:
                requests.append((json.dumps(body), label))
        (folder / "requests.json").write_text(json.dumps(requests))

    def submit(self, client: Client, folder: Path) -> None:
        """Make version 1 of the model in the cluster."""
        if self.layers:
            client.models.import_(folder / "encoder", self.name)
        else:
            train_mlp(client, self.name, WIDTH, HIDDEN, CLASSES)

    def load(self, folder: Path) -> Predict:
        """The network as a plain service runs it."""
        if not self.layers:
            mlp = _mlp()
            mlp.load_state_dict(torch.load(folder / "mlp.pt", weights_only=True))
            return lambda body: _best(mlp(torch.tensor(body["rows"])), [str(each) for each in range(CLASSES)])
        from transformers import AutoModelForSequenceClassification

        encoder = AutoModelForSequenceClassification.from_pretrained(folder / "encoder").eval()
        names = [encoder.config.id2label[each] for each in range(CLASSES)]
        return lambda body: _best(
            encoder(**{name: torch.tensor(value) for name, value in body.items()}).logits.softmax(1), names
        )


WORKLOADS: Final = {
    each.name: each for each in (Workload("bert", 2, 128), Workload("bert-small", 4, 512), Workload("mlp"))
}


def read_requests(folder: Path) -> list[tuple[str, str]]:
    """Bodies, and the label of each answer; an empty one is not known."""
    return [(body, label) for body, label in json.loads((folder / "requests.json").read_text())]


def _tokens(random: np.random.Generator) -> dict[str, list[list[float]]]:
    """The body of the seeds' service: a text of a few to 32 tokens, filled up with padding."""
    length = int(random.integers(8, TOKENS + 1))
    padding = [0] * (TOKENS - length)
    ids = [101, *random.integers(1000, VOCABULARY, length - 2).tolist(), 102, *padding]
    return {
        "input_ids": [ids],
        "attention_mask": [[1] * length + padding],
        "token_type_ids": [[0] * TOKENS],
    }


def _best(scores: torch.Tensor, names: list[str]) -> tuple[list[str], list[float]]:
    best = scores.max(1)
    return [names[each] for each in best.indices.tolist()], best.values.tolist()


def _mlp() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(WIDTH, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, CLASSES), torch.nn.Softmax(dim=1)
    ).eval()


def _save_encoder(folder: Path, layers: int, width: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=layers, num_attention_heads=max(2, width // 64),
        intermediate_size=4 * width, max_position_embeddings=512, num_labels=CLASSES,  # type: ignore[call-arg]
    )  # fmt: skip
    encoder = BertForSequenceClassification(config)
    for parameter in encoder.classifier.parameters():  # far from each other, so that rows differ in their labels
        torch.nn.init.normal_(parameter, std=2.0)
    encoder.save_pretrained(folder / "encoder")
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    words = {word: at for at, word in enumerate(f"word{at}" for at in range(VOCABULARY)) if at not in special.values()}
    tokenizer = Tokenizer(models.WordPiece({**special, **words}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=512, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    ).save_pretrained(folder / "encoder")  # type: ignore[no-untyped-call]  # fmt: skip
