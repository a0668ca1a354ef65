"""The tokenizer of a language model in its training: trained on the texts, or that of a version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from longshore.shared.datasets.prompts import Message
from longshore.shared.model_formats.huggingface.model import TOKENIZER_CONFIG
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.workers.generate.templates.chat import ChatTemplate
from longshore.workers.generate.tokenizer import Encoded, TextTokenizer, load_tokenizer
from longshore.workers.generate.version import LanguageVersion

#: Ends a document, and begins each, so that the first word is predicted, too.
END: Final = "<|endoftext|>"
MESSAGE_START, MESSAGE_END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
#: ChatML, so that a model of one's own can be trained on messages.
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: The file of a chat template, as transformers writes it.
TEMPLATE_FILE: Final = "chat_template.jinja"
#: A longer text is divided for the trainer, which holds it in memory several times.
_MAX_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class LanguageTokenizer:
    """Converts texts to tokens exactly as a generation does it with its prompts."""

    text: TextTokenizer
    #: In Jinja; ``None``: the model reads no messages.
    template_source: str | None
    #: The names of special tokens and their texts.
    special_tokens: Mapping[str, str]
    #: The ids that end a text.
    ends: frozenset[int]

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return max(self.text.native.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def end(self) -> int | None:
        """The id that ends a document; ``None`` if there is none."""
        return self.special("eos_token", min(self.ends, default=None))

    def special(self, name: str, default: int | None = None) -> int | None:
        """The id of a special token, by its name."""
        token = self.special_tokens.get(name)
        return default if token is None else self.text.native.token_to_id(token)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Ids of whole texts, with the special tokens that the tokenizer adds to a prompt; or why a text has none."""
        return self.text.encode(texts, special_tokens=True)

    def encode_plain(self, text: str) -> list[int]:
        """Ids of a text that a chat template has written, or of a part of a text.

        :raises ValueError: the tokenizer fails on it.
        """
        [ids] = self.text.encode([text], special_tokens=False)
        return tokens_of(ids)

    def render(self, messages: Sequence[Message], *, answer: bool) -> str:
        """Messages as the chat template writes them.

        :param answer: end with the beginning of an answer.
        :raises ValueError: there is no template, or it cannot write these messages.
        """
        if self.template_source is None:
            raise ValueError("the version has no chat template, so it reads no messages; train on texts")
        return ChatTemplate(self.template_source, self.special_tokens).render(messages, answer=answer)


def tokens_of(encoded: Encoded) -> list[int]:
    """:raises ValueError: the text has no tokens."""
    if isinstance(encoded, str):
        raise ValueError(encoded)
    return list(encoded)


def tokenizer_of(version: LanguageVersion) -> LanguageTokenizer:
    """The tokenizer of a version."""
    model = version.model
    return LanguageTokenizer(
        load_tokenizer(model.folder), version.chat_template, version.special_tokens, frozenset(model.end_tokens)
    )


def train_language_tokenizer(options: Tokenizer, texts: Iterable[str], folder: Path, context: int) -> LanguageTokenizer:
    """Train a byte-level BPE tokenizer, and save it as transformers does. The same texts give the same files.

    :param texts: read once.
    :param context: tokens that the model reads, at most.
    """
    from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers
    from tokenizers import Tokenizer as Made
    from transformers import PreTrainedTokenizerFast

    made = Made(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    added = [AddedToken(each, special=True, normalized=False) for each in (END, MESSAGE_START, MESSAGE_END, PAD)]
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary,
        min_frequency=options.min_frequency,
        show_progress=False,
        special_tokens=added,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    made.train_from_iterator(_pieces(texts), trainer)
    vocabulary: dict[str, int] = made.get_vocab()
    made.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, vocabulary[END])])
    special = {"bos_token": END, "eos_token": END, "pad_token": PAD}
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        **{"tokenizer_object": made, "chat_template": CHAT_TEMPLATE, "model_max_length": context},
        **{"clean_up_tokenization_spaces": False, **special},
    )
    fast.save_pretrained(folder)
    ends = frozenset({vocabulary[END], vocabulary[MESSAGE_END]})
    return LanguageTokenizer(load_tokenizer(folder), CHAT_TEMPLATE, special, ends)


def tokenizer_files(folder: Path, tokenizer: LanguageTokenizer, names: Iterable[str], context: int) -> dict[str, bytes]:
    """The files of a tokenizer, by name.

    :param names: those in the folder, if they are there.
    :param context: tokens that the model reads, at most.
    """
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
    settings = {**json.loads(files[TOKENIZER_CONFIG]), "model_max_length": context}
    files[TOKENIZER_CONFIG] = json.dumps(settings, indent=2, sort_keys=True).encode()
    if tokenizer.template_source is not None:
        files[TEMPLATE_FILE] = tokenizer.template_source.encode()
    return files


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for start in range(0, len(text), _MAX_CHARACTERS):
            yield text[start : start + _MAX_CHARACTERS]
