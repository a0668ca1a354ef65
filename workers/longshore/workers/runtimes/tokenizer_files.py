"""Loads the tokenizer of a Hugging Face folder as the library transformers does.

A class of the library can replace parts of ``tokenizer.json`` by what ``tokenizer_config.json`` states, so the library
itself puts the tokenizer together. It reads a copy of the folder that has only the keys that Longshore honours: no
class, file or address of the folder's own is loaded.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.huggingface.files import parse_json
from longshore.shared.model_formats.huggingface.keys import SPECIAL_TOKENS_KEYS, TOKENIZER_KEYS
from longshore.shared.model_formats.huggingface.model import (
    ADDED_TOKENS,
    SPECIAL_TOKENS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    TextModel,
)
from longshore.shared.model_formats.huggingface.network import CONFIG, OFFSET_POSITIONS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Keys of ``config.json`` that choose the class of the tokenizer.
_CLASS_KEYS = ("model_type", "tokenizer_class", "transformers_version")


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer and the settings that the library keeps beside it."""

    tokenizer: Tokenizer
    #: Whether a text that is too long is cut at its start rather than at its end.
    keep_end: bool
    #: Whether networks get the types of tokens.
    types: bool
    #: The ids of the special tokens.
    special: frozenset[int]
    #: The id of the token for words that are not known.
    unknown: int | None


def load_tokenizer(model: TextModel, files: Mapping[str, Path]) -> LoadedTokenizer:
    """Load the tokenizer of a folder.

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
    with tempfile.TemporaryDirectory(prefix="longshore-tokenizer-") as folder:
        try:
            _copy(model, files, Path(folder))
            loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            tokenizer = loaded.backend_tokenizer
            keep_end = loaded.truncation_side == "left"
            types = "token_type_ids" in loaded.model_input_names
            special = frozenset(loaded.all_special_ids)
        except BaseException as error:  # the library can raise anything, and a panic in native code is no Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise CorruptBlob(f"{TOKENIZER} cannot be loaded: {error}") from None
    pad = model.network.config.get("pad_token_id")
    if model.network.model_type in OFFSET_POSITIONS and isinstance(pad, int) and loaded.pad_token_id not in (None, pad):
        raise InvalidInput(
            "model",
            f"{CONFIG}: pad_token_id {pad} is not {loaded.pad_token_id}, that of the tokenizer, although the network "
            "counts positions from it; make them the same",
        )
    if not isinstance(tokenizer, Tokenizer):
        raise CorruptBlob(f"{TOKENIZER} cannot be loaded as a {type(loaded).__name__}")
    if model.lowercase:
        _lowercase(tokenizer)
    return LoadedTokenizer(tokenizer, keep_end, types, special, loaded.unk_token_id)


def _copy(model: TextModel, files: Mapping[str, Path], folder: Path) -> None:
    """Write the files of the tokenizer with the honoured keys."""
    config = {key: value for key, value in model.network.config.items() if key in _CLASS_KEYS}
    (folder / CONFIG).write_text(json.dumps(config))
    for name, keys in ((TOKENIZER_CONFIG, TOKENIZER_KEYS), (SPECIAL_TOKENS, SPECIAL_TOKENS_KEYS)):
        if name in files:
            values = parse_json(files[name].read_bytes())
            (folder / name).write_text(json.dumps(keys.select(values) if isinstance(values, dict) else values))
    for name in (TOKENIZER, ADDED_TOKENS):
        if name in files:
            (folder / name).symlink_to(files[name].absolute())


def _lowercase(tokenizer: Tokenizer) -> None:
    """Convert texts to lower case before all other steps, as sentence-transformers does for ``do_lower_case``."""
    from tokenizers import normalizers

    first = tokenizer.normalizer
    if isinstance(first, normalizers.Sequence):
        steps = [first[number] for number in range(len(first))]
    else:
        steps = [] if first is None else [first]
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
