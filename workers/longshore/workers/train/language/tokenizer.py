"""The tokenizer of a language model: trained on its texts, or that of a version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from longshore.shared.datasets.language_rows import Message
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Ends a document, and begins each, so that the first word is predicted, too.
END = "<|endoftext|>"
MESSAGE_START, MESSAGE_END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
#: ChatML, so that a model of one's own can be trained on messages.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SETTINGS = "tokenizer_config.json"
#: No text is longer than so many characters for the trainer, which holds a text in memory several times.
_MAX_CHARACTERS = 1 << 20


class LanguageTokenizer:
    """Converts texts to tokens as the engines do for prompts.

    :param tokenizer: of the library transformers.
    :param ends: ids that end a text: the first is appended to a document that has none.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Sequence[int]) -> None:
        self.tokenizer = tokenizer
        self.ends = frozenset(ends)
        self._end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else next(iter(ends), None)

    @property
    def end(self) -> int | None:
        """The id that ends a document; ``None`` if the tokenizer has none."""
        return self._end

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of whole texts, with the special tokens that the tokenizer adds to a prompt."""
        return self._encode(texts, special=True)

    def encode_plain(self, text: str) -> list[int]:
        """Ids of a text that a chat template has rendered, or of a part of a text."""
        return self._encode([text], special=False)[0]

    def render(self, messages: Sequence[Message], *, answer: bool) -> str:
        """Messages as the chat template writes them.

        :param answer: end with the beginning of an answer.
        :raises ValueError: there is no template, or it cannot render these messages.
        """
        from jinja2 import TemplateError

        if not self.tokenizer.chat_template:
            raise ValueError("the version has no chat template, so it reads no messages; train on texts")
        try:
            text = self.tokenizer.apply_chat_template(_typed(messages), tokenize=False, add_generation_prompt=answer)
        except (TemplateError, TypeError, ValueError) as error:
            raise ValueError(f"the chat template refuses the messages: {error}") from None
        return str(text)

    def _encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        encoded = self.tokenizer(
            list(texts), add_special_tokens=special, return_attention_mask=False, verbose=False, truncation=False
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids


def train_language_tokenizer(options: Tokenizer, texts: Iterable[str], folder: Path, context: int) -> None:
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
    special = [END, MESSAGE_START, MESSAGE_END, PAD]
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary,
        min_frequency=options.min_frequency,
        show_progress=False,
        special_tokens=[AddedToken(each, special=True, normalized=False) for each in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    made.train_from_iterator(_pieces(texts), trainer)
    made.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        **{"tokenizer_object": made, "bos_token": END, "eos_token": END, "pad_token": PAD},
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)


def load_language_tokenizer(folder: Path, ends: Sequence[int]) -> LanguageTokenizer:
    """Load the tokenizer of a folder.

    :param ends: ids that end a text, besides that of the tokenizer.
    :raises InvalidInput: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput("base", f"its tokenizer cannot be loaded: {error}") from error
    own = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    return LanguageTokenizer(tokenizer, (*own, *ends))


def tokenizer_files(folder: Path, context: int) -> dict[str, bytes]:
    """The files of a tokenizer, by name.

    :param context: tokens that the model reads, at most.
    """
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    settings = json.loads(files[_SETTINGS])
    return {
        **files,
        _SETTINGS: json.dumps({**settings, "model_max_length": context}, indent=2, sort_keys=True).encode(),
    }


def _typed(messages: Sequence[Message]) -> list[dict[str, str]]:
    """For the library's type, which knows no messages with other values than texts, although it takes them."""
    return cast(list[dict[str, str]], list(messages))


def end_tokens(folder: Path) -> tuple[int, ...]:
    """The ids that end a text in ``generation_config.json``, or else in ``config.json``."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        ends = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
        if ends is not None:
            return (ends,) if isinstance(ends, int) else tuple(ends)
    return ()


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for start in range(0, len(text), _MAX_CHARACTERS):
            yield text[start : start + _MAX_CHARACTERS]
