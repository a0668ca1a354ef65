"""The tokenizer of a language model, as the library transformers puts it together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.huggingface.files import parse_json
from longshore.shared.model_formats.huggingface.model import TOKENIZER
from longshore.shared.model_formats.tokenizer_limits import tokenizer_fault

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The tokens of a text, or why it has none.
Encoded: TypeAlias = Sequence[int] | str
#: Tokenizers that are kept when they are not in use.
_KEPT_TOKENIZERS = 4


class TextTokenizer:
    """Texts to tokens and back. Its methods run in native threads, without the lock of the interpreter."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        #: The tokenizer of the library tokenizers, without padding and truncation.
        self.native = tokenizer
        self._pieces: dict[int, str] = {}

    def encode(self, texts: Sequence[str], *, special_tokens: bool) -> list[Encoded]:
        """The tokens of each text.

        :param special_tokens: whether to add those that the tokenizer puts around a text, such as the one that begins
            a text. A chat template has written them already.
        """
        try:
            encodings = self.native.encode_batch_fast(list(texts), add_special_tokens=special_tokens)
        except BaseException as error:  # an error or a panic in native code, caused by a single text
            raise_again(error)
            return [self._one(text, special_tokens) for text in texts]
        return [each.ids for each in encodings]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, with special tokens. Bytes that are not UTF-8 become U+FFFD."""
        return str(self.native.decode(list(tokens), skip_special_tokens=False))

    def piece(self, token: int) -> str:
        """The text of one token."""
        text = self._pieces.get(token)
        if text is None:
            text = self._pieces[token] = self.decode([token])
        return text

    def _one(self, text: str, special_tokens: bool) -> Encoded:
        try:
            return list(self.native.encode_batch([text], add_special_tokens=special_tokens)[0].ids)
        except BaseException as error:  # as above
            raise_again(error)
            return f"the tokenizer fails on it: {error}"


def raise_again(error: BaseException) -> None:
    """Raise what is no failure of a native library. A panic in one is not an ``Exception``."""
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | GeneratorExit):
        raise error


@lru_cache(_KEPT_TOKENIZERS)
def load_tokenizer(folder: Path) -> TextTokenizer:
    """Load the tokenizer of a folder. The same folder is loaded once.

    :raises InvalidInput: this worker has no transformers.
    :raises CorruptBlob: the tokenizer cannot be loaded.
    """
    try:
        from tokenizers import Tokenizer
        from transformers import AutoTokenizer
    except ImportError as error:
        raise InvalidInput(
            "runtime", f"transformers is not installed on this worker; pip install 'longshore[huggingface]' ({error})"
        ) from error
    try:
        _check_limits(folder)
        loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = loaded.backend_tokenizer
    except BaseException as error:
        raise_again(error)
        raise CorruptBlob(f"{TOKENIZER} cannot be loaded: {error}") from None
    if not isinstance(tokenizer, Tokenizer):
        raise CorruptBlob(f"{TOKENIZER} cannot be loaded as a {type(loaded).__name__}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return TextTokenizer(tokenizer)


def _check_limits(folder: Path) -> None:
    """:raises ValueError: loading or using the tokenizer could take more memory or time than a tokenizer should."""
    file = folder / TOKENIZER
    if not file.exists():
        return
    values = parse_json(file.read_bytes())
    fault = tokenizer_fault(values) if isinstance(values, dict) else "it is not a JSON object"
    if fault is not None:
        raise ValueError(fault)
