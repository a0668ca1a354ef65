"""Which tokens of a row are learned, token by token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.language.block_rows import BlockRows
from longshore.workers.train.language.documents import Document, DocumentReader
from longshore.workers.train.language.notes import block_notes
from longshore.workers.train.language.packing import pack
from longshore.workers.train.language.token_store import TokenWriter
from longshore.workers.train.language.tokenizer import LanguageTokenizer, train_language_tokenizer

TEXTS = ["the cat sat on the mat", "where is the cat?", "it sat under the red mat, and slept", "naïve café 你好"] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizer")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> LanguageTokenizer:
    return train_language_tokenizer(Tokenizer(kind="bpe", vocabulary=320, lowercase=False), TEXTS, folder, 64)


def split(tokenizer: LanguageTokenizer, document: Document) -> tuple[str, list[str]]:
    """The whole text, and the texts that are learned, one for each run of learned tokens."""
    learned = document.learned if document.learned is not None else [False] + [True] * (len(document.ids) - 1)
    runs: list[list[int]] = []
    before = False
    for token, learn in zip(document.ids, learned, strict=True):
        if learn and not before:
            runs.append([])
        if learn:
            runs[-1].append(token)
        before = learn
    return tokenizer.text.decode(document.ids), [tokenizer.text.decode(run) for run in runs]


def test_a_text_begins_and_ends_with_the_token_for_it(tokenizer: LanguageTokenizer, folder: Path) -> None:
    reader = DocumentReader(tokenizer, "text")
    documents = reader.texts(["the cat naïve 你好", ""])
    [first, empty] = [each for each in documents if isinstance(each, Document)]
    assert split(tokenizer, first) == (
        "<|endoftext|>the cat naïve 你好<|endoftext|>",
        ["the cat naïve 你好<|endoftext|>"],
    )
    assert len(empty.ids) == 1, "nothing follows, so nothing is learned"
    loaded = AutoTokenizer.from_pretrained(folder)
    assert first.ids == [*loaded("the cat naïve 你好")["input_ids"], loaded.eos_token_id]


def test_only_the_completion_is_learned(tokenizer: LanguageTokenizer, folder: Path) -> None:
    document = DocumentReader(tokenizer, "completion").completion("where is the cat?", " under the mat")
    assert split(tokenizer, document) == (
        "<|endoftext|>where is the cat? under the mat<|endoftext|>",
        [" under the mat<|endoftext|>"],
    )
    prompt = AutoTokenizer.from_pretrained(folder)("where is the cat?")["input_ids"]
    assert document.ids[: len(prompt)] == prompt, "what a generation begins with"
    # Where prompt and completion would share a token, they do not: the prompt is as it is when it is asked.
    document = DocumentReader(tokenizer, "completion").completion("the c", "at")
    prompt = AutoTokenizer.from_pretrained(folder)("the c")["input_ids"]
    assert document.ids[: len(prompt)] == prompt
    assert split(tokenizer, document)[1] == ["at<|endoftext|>"]


MESSAGES = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "where is the cat?"},
    {"role": "assistant", "content": "under the mat"},
    {"role": "user", "content": "and the dog?"},
    {"role": "assistant", "content": "it slept"},
]


@pytest.mark.parametrize("value", [MESSAGES, json.dumps(MESSAGES)])
def test_every_answer_of_a_conversation_is_learned_up_to_its_end(
    tokenizer: LanguageTokenizer, folder: Path, value: object
) -> None:
    document = DocumentReader(tokenizer, "messages").messages(value)
    text, learned = split(tokenizer, document)
    assert learned == ["under the mat<|im_end|>", "it slept<|im_end|>"]
    loaded: Any = AutoTokenizer.from_pretrained(folder)
    rendered = loaded.apply_chat_template(MESSAGES, tokenize=False)
    assert rendered == text + "\n"
    ids = loaded.apply_chat_template(MESSAGES, tokenize=True, return_dict=True)["input_ids"]
    assert list(document.ids) == ids[: len(document.ids)]
    asked = loaded.apply_chat_template(MESSAGES[:4], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert list(document.ids[: len(asked)]) == asked, "what a generation begins with"


def test_a_conversation_can_be_a_prompt(tokenizer: LanguageTokenizer) -> None:
    document = DocumentReader(tokenizer, "completion").completion(MESSAGES[:4], "it slept")
    assert split(tokenizer, document)[1] == ["it slept<|im_end|>"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[", "is not a list in JSON"),
        ([], "an empty list"),
        ([{"role": "robot", "content": "a"}], r"messages\[0\]\.role: 'robot'"),
        ([{"role": "user", "content": "a"}], "no message of the role assistant follows another one"),
        ([{"role": "assistant", "content": "a"}], "no message of the role assistant follows another one"),
    ],
)
def test_a_bad_conversation_says_what_is_wrong(tokenizer: LanguageTokenizer, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DocumentReader(tokenizer, "messages").messages(value)


def test_what_is_not_answered_is_noted(tokenizer: LanguageTokenizer, tmp_path: Path) -> None:
    reader, user, nothing = DocumentReader(tokenizer, "messages"), MESSAGES[1], {"role": "assistant", "content": " "}
    assert user["role"] == "user"
    documents = [
        reader.messages([*MESSAGES, user]),
        reader.messages([user, nothing, *MESSAGES[1:], user, user]),
        reader.completion("where is the cat?", ""),
        reader.completion("where is the cat?", " under the mat"),
    ]
    with TokenWriter(tmp_path, "train", masked=True) as writer:
        for document in documents:
            writer.add(document)
    texts = writer.texts()
    spec = TrainSpec.model_validate(
        {"model": "x", "family": "lora", "target": "messages", "base": "chat:1", "data": {"uri": "/", "format": "csv"}}
    )
    rows = BlockRows(texts, pack(texts, 256, packing=True), torch.device("cpu"))
    _, *notes = block_notes(spec, rows, 256, 1000)
    assert [note.partition(",")[0] for note in notes] == [
        "2 answers are empty",
        "2 conversations end with messages that no answer follows; these are left out",
    ]
    whole = pack(texts, 4, packing=True)
    assert whole.left_out == len(documents), "their prompts alone fill a block"


def test_a_template_that_changes_what_it_has_written_is_refused(tokenizer: LanguageTokenizer) -> None:
    numbered = LanguageTokenizer(
        tokenizer.text,
        "{{ messages|length }}{% for message in messages %}{{ message['content'] }}{% endfor %}",
        tokenizer.special_tokens,
        tokenizer.ends,
    )
    with pytest.raises(ValueError, match="writes the messages before message 2 otherwise once it follows"):
        DocumentReader(numbered, "messages").messages(MESSAGES)
