"""One key of a model folder changed at a time: the outputs are those of the libraries, or the key is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from longshore.shared.errors import CorruptBlob, InvalidInput
from tests.differential.cases import COMPARED, case_count
from tests.differential.imported.changes import changes
from tests.differential.imported.folders import FOLDER_KINDS, PAIRS, FolderKind, changed, save_folder
from tests.differential.imported.reference import of_libraries, of_longshore

#: The files of the tokenizer have a test of their own.
TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json")
BERT = ("bert", "wordpiece")
ROBERTA = ("roberta", "byte-bpe")
#: Settings that gave other outputs without a word before, and whether they are refused.
KNOWN: list[tuple[tuple[str, str], FolderKind, str, str, object, bool]] = [
    (BERT, "sentence", "config_sentence_transformers.json", "truncate_dim", 4, False),
    (BERT, "sentence", "sentence_bert_config.json", "max_seq_length", 24, False),
    (BERT, "sentence", "sentence_bert_config.json", "processing_kwargs", {"text": {"max_length": 4}}, True),
    (BERT, "sentence", "1_Pooling/config.json", "pooling_mode_cls_token", True, False),
    (BERT, "sentence", "2_Normalize/config.json", "module_input_name", "token_embeddings", True),
    (BERT, "labels", "config.json", "sentence_transformers", {"activation_fn": "torch.nn.Sigmoid"}, False),
    (BERT, "labels", "config.json", "sbert_ce_default_activation_function", "torch.nn.Identity", False),
    (BERT, "pairs", "config_sentence_transformers.json", "activation_fn", "torch.nn.Identity", False),
    (BERT, "pairs", "config_sentence_transformers.json", "activation_fn", "mine.Tanh", True),
    (BERT, "pairs", "config_sentence_transformers.json", "default_prompt_name", "query", False),
    (BERT, "pairs", "tokenizer_config.json", "model_input_names", ["input_ids", "attention_mask"], False),
    (ROBERTA, "pairs", "config.json", "pad_token_id", None, True),
    (("distilbert", "wordpiece"), "sentence", "config.json", "num_attention_heads", 4, False),
]


def _base(folder: Path, pair: tuple[str, str], kind: FolderKind) -> Path:
    base = folder / f"{'-'.join(pair)}-{kind}"
    return base if base.exists() else save_folder(base, *pair, kind)


@pytest.mark.parametrize("kind", FOLDER_KINDS)
@pytest.mark.parametrize("pair", PAIRS)
def test_outputs_are_those_of_the_libraries(tmp_path: Path, pair: tuple[str, str], kind: FolderKind) -> None:
    folder = _base(tmp_path, pair, kind)
    found, outputs = of_longshore(folder)
    assert found == kind
    assert outputs.difference(of_libraries(folder, kind)) is None


@pytest.mark.parametrize(("pair", "kind", "file", "key", "value", "refused"), KNOWN)
def test_a_setting_is_honoured_or_refused(
    tmp_path: Path, pair: tuple[str, str], kind: FolderKind, file: str, key: str, value: object, refused: bool
) -> None:
    folder = changed(_base(tmp_path, pair, kind), tmp_path / "changed", file, key, value)
    if refused:
        with pytest.raises(InvalidInput, match=key):
            of_longshore(folder)
    else:
        found, outputs = of_longshore(folder)
        assert outputs.difference(of_libraries(folder, found)) is None


@pytest.mark.parametrize("pair", PAIRS)
def test_every_key_is_honoured_or_refused(tmp_path: Path, pair: tuple[str, str]) -> None:
    cases = [(kind, *change) for kind in FOLDER_KINDS for change in changes(kind) if change[0] not in TOKENIZER]
    # 20 times as many are all.
    sample = random.Random(str(pair)).sample(cases, min(case_count(-(-len(cases) // 20)), len(cases)))
    wrong = [message for case in sample if (message := _compare(tmp_path, pair, *case))]
    assert not wrong, "\n".join(wrong)


def _compare(folder: Path, pair: tuple[str, str], kind: FolderKind, file: str, key: str, value: object) -> str | None:
    """What is wrong with the outputs of a changed folder."""
    COMPARED.add()
    folder = changed(_base(folder, pair, kind), folder / "changed", file, key, value)
    what = f"{pair} {kind} {file}: {key} {value!r}"
    outputs = None
    try:
        kind, outputs = of_longshore(folder)
    except InvalidInput as error:
        if key in str(error) or "transformers refuses its config.json" in str(error):
            return None
        refusal = str(error)
    except CorruptBlob as error:
        if file == "config.json" and "do not fit its config.json" in str(error):
            return None
        refusal = str(error)
    try:
        expected = of_libraries(folder, kind)
    except Exception:  # the library refuses it in any of its ways
        return None
    if outputs is None:
        return f"{what} is refused with {refusal}"
    difference = outputs.difference(expected)
    return None if difference is None else f"{what}: {difference}"
