"""What Longshore and the libraries compute from a folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from longshore.producers.models.importing import read_import
from longshore.shared.model_formats.huggingface.model import read_model
from longshore.workers.runtimes.huggingface import load, read_texts
from tests.differential.imported.folders import POSITIONS, TEXTS

#: A few of the texts: a network takes longer than a tokenizer.
SOME = TEXTS[::3]

Outputs = npt.NDArray[np.float32]


@contextmanager
def quiet() -> Iterator[None]:
    """The libraries warn about the changed keys, which is what the tests are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def of_libraries(folder: Path, *, head: bool) -> Outputs:
    """The embeddings of sentence-transformers, or the logits of transformers, each text on its own."""
    with quiet(), torch.inference_mode():
        if not head:
            sentence = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
            return np.stack([sentence.encode([text], show_progress_bar=False)[0] for text in SOME])
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval().float()
        length = min(tokenizer.model_max_length, POSITIONS)
        rows = [
            network(**tokenizer(text, truncation=True, max_length=length, return_tensors="pt"), return_dict=True).logits
            for text in SOME
        ]
        return np.concatenate([row.numpy() for row in rows])


def of_longshore(folder: Path) -> Outputs:
    """The same from an imported folder, all texts in one batch."""
    with quiet(), torch.inference_mode():
        runtime = load(read_import(folder, None).files, torch.device("cpu"))
        prepared = runtime.prepare(pa.record_batch({"text": pa.array(SOME)}))
        if prepared.errors:
            raise ValueError(f"rows with errors: {prepared.errors}")
        return runtime.forward(prepared, slice(0, len(SOME))).numpy()


def ids_of_transformers(folder: Path, length: int) -> list[list[int]]:
    """The token ids of each text."""
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        length = min(tokenizer.model_max_length, length)
        return [list(tokenizer(text, truncation=True, max_length=length)["input_ids"]) for text in TEXTS]


def ids_of_longshore(folder: Path) -> list[list[int]]:
    """The same from an imported folder."""
    with quiet():
        files = read_import(folder, None).files
        model = read_model(files, "model")
        reader = read_texts(model, files)
        prepared = reader.prepare(pa.record_batch({"text": pa.array(TEXTS)}))
        return [
            prepared.ids[start : start + length].tolist()
            for start, length in zip(prepared.starts.tolist(), prepared.lengths.tolist(), strict=True)
        ]
