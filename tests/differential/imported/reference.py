"""What Longshore and the libraries compute from a folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TextClassificationPipeline

from longshore.producers.models.importing import read_import
from longshore.shared.model_formats.huggingface.model import read_model
from longshore.workers.runtimes.huggingface import load, read_texts
from tests.computing import compute
from tests.differential.imported.folders import POSITIONS, TEXT_PAIRS, TEXTS, FolderKind

#: A few of the texts: a network takes longer than a tokenizer.
SOME, SOME_PAIRS = TEXTS[::3], TEXT_PAIRS[::2]


@dataclass(frozen=True)
class Outputs:
    """What comes of each text or pair."""

    #: ``(n, outputs)``.
    values: npt.NDArray[np.float32]
    #: The representations of the names of the outputs, sorted; ``None`` if they have none.
    names: list[str] | None = None

    def difference(self, other: Outputs) -> str | None:
        """How two of them differ by more than rounding."""
        if self.values.shape != other.values.shape:
            return f"shape {self.values.shape} is not {other.values.shape}"
        if self.names is not None and other.names is not None and self.names != other.names:
            return f"names {self.names} are not {other.names}"
        largest = np.abs(self.values - other.values).max()
        return None if largest < ATOL else f"outputs differ by {largest}"


#: Largest difference between outputs of the same network; those of other texts differ by more than 1e-3.
ATOL = 1e-5


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


def of_libraries(folder: Path, kind: FolderKind) -> Outputs:
    """The embeddings or scores of sentence-transformers, or the scores of transformers, each text on its own."""
    with quiet(), torch.inference_mode():
        if kind == "sentence":
            sentence = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
            return Outputs(np.stack([sentence.encode([text], show_progress_bar=False)[0] for text in SOME]))
        if kind == "pairs":
            encoder = CrossEncoder(str(folder), device="cpu", local_files_only=True)
            rows = [np.reshape(encoder.predict([pair], show_progress_bar=False), -1) for pair in SOME_PAIRS]
            return Outputs(np.stack(rows).astype(np.float32))
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval().float()
        pipeline = TextClassificationPipeline(  # type: ignore[no-untyped-call]
            model=network, tokenizer=tokenizer, device="cpu"
        )
        length = min(tokenizer.model_max_length, POSITIONS)
        return _by_name([pipeline(text, top_k=None, truncation=True, max_length=length) for text in SOME])


def _by_name(rows: list[list[dict[str, object]]]) -> Outputs:
    """Labels with their scores, in the order of their names."""
    tables = [sorted((repr(each["label"]), each["score"]) for each in row) for row in rows]
    values = np.array([[score for _, score in table] for table in tables], np.float32)
    return Outputs(values, [name for name, _ in tables[0]])


def of_longshore(folder: Path) -> tuple[FolderKind, Outputs]:
    """The same from an imported folder, all texts in one batch; and what the folder is for."""
    with quiet(), torch.inference_mode():
        files = read_import(folder, None).files
        runtime = load(files, torch.device("cpu"))
        signature = runtime.signature
        paired = len(signature.features) == 2
        columns = list(zip(*SOME_PAIRS, strict=True)) if paired else [SOME]
        names = [feature.name for feature in signature.features]
        batch = pa.record_batch({name: pa.array(texts) for name, texts in zip(names, columns, strict=True)})
        several = {} if signature.labels is None else {"top_k": len(signature.labels)}
        rows, errors = compute(runtime, batch, **several, logits=signature.labels is not None)
        if errors:
            raise ValueError(f"rows with errors: {errors}")
    found = [row for row in rows if row is not None]
    if signature.task in ("embedding", "regression"):
        key = "embedding" if signature.task == "embedding" else "value"
        values = np.array([np.reshape(np.array(row[key], np.float32), -1) for row in found])
        return ("sentence" if signature.task == "embedding" else "pairs" if paired else "labels"), Outputs(values)
    if not paired:
        return "labels", _by_name([row["top_k"] for row in found])  # type: ignore[misc]
    # A cross-encoder gives the outputs of several labels in their order, without their names, and never a softmax.
    settings = read_model(files, "model").pairs
    assert settings is not None
    if not settings.sigmoid:
        return "pairs", Outputs(np.array([row["logits"] for row in found], np.float32))
    order = [str(label) for label in signature.labels or ()]
    scores = [{str(each["label"]): each["score"] for each in row["top_k"]} for row in found]  # type: ignore[attr-defined]
    return "pairs", Outputs(np.array([[row[name] for name in order] for row in scores], np.float32))


#: Token ids and types of each text or pair.
TokenLists = list[tuple[list[int], list[int]]]


def tokens_of_transformers(folder: Path, length: int, *, pairs: bool) -> TokenLists:
    """The tokens of each text, or of each pair. The types of a single text do not count: they are all 0."""
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        limit = {"truncation": True, "max_length": min(tokenizer.model_max_length, length)}
        # A list, as sentence-transformers gives it: on its own, a pair with an empty second text is taken for a text.
        rows = tokenizer([list(pair) for pair in TEXT_PAIRS] if pairs else list(TEXTS), **limit)
        types = rows.get("token_type_ids") if pairs else None
        return list(zip(rows["input_ids"], types or [[] for _ in rows["input_ids"]], strict=True))


def tokens_of_longshore(folder: Path) -> TokenLists:
    """The same from an imported folder."""
    with quiet():
        files = read_import(folder, None).files
        model = read_model(files, "model")
        columns = [TEXTS] if model.pairs is None else list(zip(*TEXT_PAIRS, strict=True))
        names = [feature.name for feature in model.signature.features]
        batch = pa.record_batch({name: pa.array(texts) for name, texts in zip(names, columns, strict=True)})
        prepared = read_texts(model, files).prepare(batch)
        parts = [
            slice(start, start + length)
            for start, length in zip(prepared.starts.tolist(), prepared.lengths.tolist(), strict=True)
        ]
        types = prepared.types
        return [(prepared.ids[part].tolist(), [] if types is None else types[part].tolist()) for part in parts]
