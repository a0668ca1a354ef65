"""Embeddings of news on a warm worker against a bare loop over the same texts, in input order, with padding.

Both sides use an encoder of 6 layers with hidden size 384 and at most 128 tokens of a text, and normalize the mean of
the token vectors. The weights are random and the tokenizer is trained on the texts, unless --model names a
sentence-transformers folder.

usage: python -m benchmarks.text AG_NEWS.csv [--rows 2000] [--rounds 3] [--model FOLDER]

AG_NEWS.csv has no header: class, title, description.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel
from transformers.utils import logging

from benchmarks.cluster import TIMEOUT_S, running_cluster
from benchmarks.report import SpeedComparison, in_turn, show
from longshore.producers import Client

#: Rows in a forward pass of the bare loop; tokens of a text; size of the tokenizer's vocabulary.
BATCH_SIZE, MAX_TOKENS, VOCABULARY_SIZE = 32, 128, 30_000


def read_texts(path: Path, rows: int) -> list[str]:
    """The first ``rows`` texts: title and description."""
    with path.open(newline="", encoding="utf-8") as file:
        return [f"{row[1]} {row[2]}" for row in islice(csv.reader(file), rows)]


def make_model(folder: Path, texts: Sequence[str]) -> None:
    """Write a model as sentence-transformers does, with random weights."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=VOCABULARY_SIZE, show_progress=False)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, **special)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    BertModel(config).save_pretrained(folder)
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))


def bare_loop(folder: Path, source: Path) -> Callable[[], float]:
    """A function that runs a loop from Parquet to Parquet, batch by batch, and returns its seconds."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    target = source.with_name("bare.parquet")
    schema = pa.schema({"embedding": pa.list_(pa.float32())})

    @torch.inference_mode()
    def run() -> float:
        start = time.perf_counter()
        with pq.ParquetWriter(target, schema) as writer:
            for batch in pq.ParquetFile(source).iter_batches(BATCH_SIZE):
                texts = batch.column("text").to_pylist()
                encoded = tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
                vectors = network(**encoded).last_hidden_state
                mask = encoded["attention_mask"][..., None]
                embeddings = normalize((vectors * mask).sum(1) / mask.sum(1), dim=1)
                writer.write_table(pa.table([pa.array(list(embeddings.numpy()))], schema=schema))
        return time.perf_counter() - start

    return run


def job(client: Client, source: Path) -> Callable[[], float]:
    """A function that runs a job and returns the seconds from its submission to its end, results in Postgres."""

    def run() -> float:
        start = time.perf_counter()
        client.infer("news", source).wait(TIMEOUT_S, progress=False)
        return time.perf_counter() - start

    return run


def compare(data: Path, rows: int, rounds: int, model: Path | None) -> SpeedComparison:
    """Measure both sides in turn, in one run."""
    torch.set_num_threads(os.cpu_count() or 1)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    texts = read_texts(data, rows)
    with tempfile.TemporaryDirectory() as temporary, running_cluster() as client:
        source, folder = Path(temporary) / "texts.parquet", Path(temporary) / "model"
        pq.write_table(pa.table({"text": texts}), source)
        if model is None:
            folder.mkdir()
            make_model(folder, texts)
        else:
            shutil.copytree(model, folder)
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": MAX_TOKENS}))
        client.models.import_(folder, "news")
        ours, theirs = job(client, source), bare_loop(folder, source)
        rates = in_turn(rounds, lambda: len(texts) / ours(), lambda: len(texts) / theirs())
    return SpeedComparison(f"embed {len(texts):,} news", "rows", *rates, "bare loop to Parquet", 1.25)


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    show([compare(options.data, options.rows, options.rounds, options.model)])


if __name__ == "__main__":
    main()
