"""The small files of a language model as engines get them: with the keys that Longshore honours, and no others.

So no class, file or address of a folder's own is loaded by the libraries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from longshore.shared.model_formats.huggingface.files import parse_json
from longshore.shared.model_formats.huggingface.generation import GENERATION
from longshore.shared.model_formats.huggingface.keys import SPECIAL_TOKENS_KEYS
from longshore.shared.model_formats.huggingface.language import LanguageFolder
from longshore.shared.model_formats.huggingface.language_keys import LANGUAGE_TOKENIZER_KEYS
from longshore.shared.model_formats.huggingface.model import SPECIAL_TOKENS, TOKENIZER_CONFIG

#: What engines read of ``generation_config.json``: each request has its own sampling.
_TOKEN_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id")


def checked_files(language: LanguageFolder, files: Mapping[str, Path]) -> dict[str, bytes]:
    """The files of a folder that engines get with the honoured keys alone, by their name."""
    written = {TOKENIZER_CONFIG: LANGUAGE_TOKENIZER_KEYS.select(language.tokenizer_config)}
    for name, keys in ((SPECIAL_TOKENS, SPECIAL_TOKENS_KEYS.select), (GENERATION, _tokens)):
        if name in files:
            values = parse_json(files[name].read_bytes())
            written[name] = keys(values if isinstance(values, dict) else {})
    return {name: json.dumps(values).encode() for name, values in written.items()}


def _tokens(values: Mapping[str, object]) -> dict[str, object]:
    return {key: values[key] for key in _TOKEN_KEYS if key in values}
