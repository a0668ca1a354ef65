"""Every key that the libraries read from a model folder has its place in the tables of ``keys.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from types import ModuleType

import pytest
import transformers
from sentence_transformers.base import model as base_model
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.cross_encoder import model as cross_encoder
from sentence_transformers.sentence_transformer import model as sentence_model
from sentence_transformers.sentence_transformer.modules import pooling
from transformers import AutoConfig, tokenization_utils_base, tokenization_utils_tokenizers
from transformers.models.auto import tokenization_auto

from longshore.shared.model_formats.huggingface import keys, language, language_keys
from longshore.shared.model_formats.huggingface.architectures import ARCHITECTURES, DECODERS
from longshore.shared.model_formats.huggingface.model import TOKENIZER_CLASSES
from longshore.shared.model_formats.huggingface.network import MODEL_TYPES
from longshore.shared.model_formats.huggingface.sentence import TRANSFORMERS

#: Reads of one key from what a tokenizer's configuration becomes.
_TOKENIZER_READ = re.compile(
    r"\b(?:init_kwargs|kwargs|local_kwargs|tokenizer_config|init_configuration)"
    r"""(?:\.(?:get|pop|setdefault)\(\s*|\[)"(\w+)"|"(\w+)" (?:not )?in (?:\w*kwargs|tokenizer_config)\b"""
)
#: Settings of a generation that change outputs, and that jobs do not have.
_NOTED = keys.words(
    """
    bad_words_ids begin_suppress_tokens constraints dola_layers exponential_decay_length_penalty force_words_ids
    forced_bos_token_id forced_eos_token_id sequence_bias stop_strings suppress_tokens token_healing top_h
    watermarking_config
    """
)


def _reads(pattern: str | re.Pattern[str], modules: Iterable[ModuleType | type | Callable[..., None]]) -> set[str]:
    sources = "\n".join(inspect.getsource(module) for module in modules)
    return {name for match in re.finditer(pattern, sources) for name in match.groups() if name}


def _parameters(function: object) -> set[str]:
    assert callable(function)
    return set(inspect.signature(function).parameters) - {"self", "args", "kwargs"}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_configuration_of_a_network(model_type: str) -> None:
    config = AutoConfig.for_model(model_type)
    module = inspect.getmodule(type(config))
    assert module is not None
    modeling = __import__(module.__name__.replace("configuration_", "modeling_"), fromlist=["modeling"])
    read = _reads(r"""config\.([a-z]\w*)|getattr\((?:self\.)?config, "(\w+)\"""", [modeling])
    read |= {*config.to_dict(), *config.attribute_map}
    assert read - keys.CONFIG_KEYS.known - {"to_dict", "get_text_config"} == set()


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_configuration_of_a_language_model(model_type: str) -> None:
    config = AutoConfig.for_model(model_type)
    module = inspect.getmodule(type(config))
    assert module is not None
    modeling = __import__(module.__name__.replace("configuration_", "modeling_"), fromlist=["modeling"])
    read = _reads(r"""config\.([a-z]\w*)|getattr\((?:self\.)?config, "(\w+)\"""", [modeling])
    read |= {*config.to_dict(), *config.attribute_map}
    table = language_keys.DECODER_KEYS if model_type in DECODERS else language_keys.ENCODER_DECODER_KEYS
    assert read - table.known - {"to_dict", "get_text_config"} == set()


def test_the_keys_of_a_generation() -> None:
    known = language_keys.GENERATION_HONOURED | language_keys.GENERATION_IRRELEVANT
    stated = set(transformers.GenerationConfig().to_dict())  # type: ignore[no-untyped-call]
    assert known - stated == set()  # no key is misspelled
    # Those that change outputs, which are noted and left out.
    assert stated - known - language_keys.GENERATION_NEUTRAL.keys() == _NOTED


def test_the_configuration_of_a_decoders_tokenizer() -> None:
    read = set()
    for name in language.TOKENIZER_CLASSES:
        read |= _parameters(getattr(transformers, f"{name}Fast", getattr(transformers, name, None)))
    assert read - language_keys.LANGUAGE_TOKENIZER_KEYS.known - {"pad_token", "unk_token"} == set()


def test_the_keys_common_to_all_configurations() -> None:
    read = _reads(r"""kwargs(?:\.(?:get|pop)\(|\[)"(\w+)\"""", [transformers.PreTrainedConfig.__post_init__])
    assert len(read) > 5
    assert read - keys.CONFIG_KEYS.known == set()
    assert read - language_keys.DECODER_KEYS.known == set()


def test_the_configuration_of_a_tokenizer() -> None:
    read = _reads(_TOKENIZER_READ, [tokenization_utils_base, tokenization_utils_tokenizers, tokenization_auto])
    for name in TOKENIZER_CLASSES:
        read |= _parameters(getattr(transformers, f"{name}Fast", getattr(transformers, name, None)))
    assert len(read) > 80
    assert read - keys.TOKENIZER_KEYS.known - {"pad_token", "unk_token"} == set()


def test_the_modules_of_sentence_transformers() -> None:
    assert _parameters(Transformer.__init__) - keys.SENTENCE_KEYS.known == set()
    assert set(Transformer.config_keys) - keys.SENTENCE_KEYS.known == set()
    legacy = set(pooling._LEGACY_POOLING_MODE_KWARGS) | set(pooling.Pooling.config_key_renames)
    assert (_parameters(pooling.Pooling.__init__) | legacy) - keys.POOLING_KEYS.known == set()
    assert set(Normalize.config_keys) - keys.NORMALIZE_KEYS.known == set()
    assert _parameters(Dense.__init__) | set(Dense.config_keys) == keys.DENSE_KEYS.known
    assert _reads(r"""module_config(?:\.get\(|\[)"(\w+)\"""", [base_model]) - keys.MODULE_KEYS.known == set()
    read = _reads(
        r"""model_config(?:\.get\(|\[)"(\w+)"|"(\w+)" in model_config\b(?!\[)""",
        [base_model, sentence_model, cross_encoder],
    )
    assert read - keys.PROMPT_KEYS.known == set()
    assert read - keys.PAIR_PROMPT_KEYS.known == set()
    assert set(Transformer.config_keys) - keys.PAIR_KEYS.known == set()
    stated = _reads(r"""hasattr\(config, "(\w+)"\)|\bconfig\.([a-z]\w*)""", [cross_encoder])
    assert {"sentence_transformers", "sbert_ce_default_activation_function"} <= stated
    assert stated - keys.CONFIG_KEYS.known == {"json"}  # the name of the file
    names = re.findall(r'"(sentence_[\w-]+_config\.json)"', inspect.getsource(Transformer.load_config))
    assert tuple(names) == TRANSFORMERS


def test_no_key_has_two_places() -> None:
    for table in (*vars(keys).values(), *vars(language_keys).values()):
        if isinstance(table, keys.FileKeys):
            assert len(table.honoured) + len(table.irrelevant) + len(table.refused) == len(table.known)
