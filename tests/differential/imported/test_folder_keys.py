"""One key of a model folder changed at a time: the outputs are those of the libraries, or the key is refused."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from longshore.shared.errors import CorruptBlob, InvalidInput
from tests.differential.cases import COMPARED, case_count
from tests.differential.imported.changes import changes
from tests.differential.imported.folders import PAIRS, changed, save_folder
from tests.differential.imported.reference import of_libraries, of_longshore

#: The files of the tokenizer have a test of their own.
TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json")
CASES = [
    (pair, head, *change)
    for pair in PAIRS
    for head in (False, True)
    for change in changes(head=head)
    if change[0] not in TOKENIZER
]
#: Largest difference between outputs of the same network; those of other texts differ by more than 1e-3.
ATOL = 1e-5
BERT = ("bert", "wordpiece")
#: Settings that gave other outputs without a word before, and whether they are refused.
KNOWN = [
    (BERT, False, "config_sentence_transformers.json", "truncate_dim", 4, False),
    (BERT, False, "sentence_bert_config.json", "max_seq_length", 24, False),
    (BERT, False, "sentence_bert_config.json", "processing_kwargs", {"text": {"max_length": 4}}, True),
    (BERT, False, "1_Pooling/config.json", "pooling_mode_cls_token", True, False),
    (BERT, False, "2_Normalize/config.json", "module_input_name", "token_embeddings", True),
    (BERT, True, "config.json", "sentence_transformers", {"activation_fn": "torch.nn.Sigmoid"}, True),
    (BERT, True, "config.json", "sbert_ce_default_activation_function", "torch.nn.Identity", True),
    (("distilbert", "wordpiece"), False, "config.json", "num_attention_heads", 4, False),
]


def _base(folder: Path, pair: tuple[str, str], head: bool) -> Path:
    base = folder / f"{'-'.join(pair)}-{head}"
    return base if base.exists() else save_folder(base, *pair, head=head)


@pytest.mark.parametrize(("pair", "head", "file", "key", "value", "refused"), KNOWN)
def test_a_setting_is_honoured_or_refused(
    tmp_path: Path, pair: tuple[str, str], head: bool, file: str, key: str, value: object, refused: bool
) -> None:
    folder = changed(_base(tmp_path, pair, head), tmp_path / "changed", file, key, value)
    if refused:
        with pytest.raises(InvalidInput, match=key):
            of_longshore(folder)
    else:
        np.testing.assert_allclose(of_longshore(folder), of_libraries(folder, head=head), atol=ATOL)


def test_every_key_is_honoured_or_refused(tmp_path: Path) -> None:
    sample = random.Random(0).sample(CASES, min(case_count(24), len(CASES)))
    assert not [message for case in sample if (message := _compare(tmp_path, *case))]


def _compare(folder: Path, pair: tuple[str, str], head: bool, file: str, key: str, value: object) -> str | None:
    """What is wrong with the outputs of a changed folder."""
    COMPARED.add()
    folder = changed(_base(folder, pair, head), folder / "changed", file, key, value)
    what = f"{pair} {file}: {key} {value!r}"
    outputs = None
    try:
        outputs = of_longshore(folder)
    except InvalidInput as error:
        if key in str(error) or "transformers refuses its config.json" in str(error):
            return None
        refusal = str(error)
    except CorruptBlob as error:
        if file == "config.json" and "do not fit its config.json" in str(error):
            return None
        refusal = str(error)
    try:
        expected = of_libraries(folder, head=head)
    except Exception:  # the library refuses it in any of its ways
        return None
    if outputs is None:
        return f"{what} is refused with {refusal}"
    if outputs.shape != expected.shape:
        return f"{what}: shape {outputs.shape} is not {expected.shape}"
    difference = np.abs(outputs - expected).max()
    return None if difference < ATOL else f"{what}: outputs differ by {difference}"
