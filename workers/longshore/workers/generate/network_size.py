"""Refuses a configuration that describes a larger network than the files of its version, before anything is built.

The library builds what ``config.json`` says and then fills it: a few numbers there could take all memory of a worker.
"""

from __future__ import annotations

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.language import LanguageFolder
from longshore.shared.model_formats.huggingface.network import CONFIG

#: Numbers beside the weights that a network may compute when it is built: masks and rotary tables.
_MAX_BUFFER_NUMBERS = 2**28


def check_network_size(language: LanguageFolder) -> None:
    """Compare the numbers of a network with those in the files.

    :raises InvalidInput: the network has more, the library refuses the configuration, or this worker does not have it.
    """
    try:
        from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSeq2SeqLM
        from transformers.utils import logging
    except ImportError as error:
        raise InvalidInput(
            "runtime", f"transformers is not installed on this worker; pip install 'longshore[huggingface]' ({error})"
        ) from error

    kind = AutoModelForSeq2SeqLM if language.architecture.encoder_decoder else AutoModelForCausalLM
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        config = CONFIG_MAPPING[str(language.config["model_type"])].from_dict(dict(language.config))
        with torch.device("meta"):  # takes no memory
            module = kind.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library validates little and can raise anything
        raise InvalidInput("model", f"transformers refuses its {CONFIG}: {type(error).__name__}: {error}") from error
    numbers = sum(tensor.numel() for tensor in module.parameters())
    if numbers > language.numbers:
        raise InvalidInput(
            "model",
            f"{CONFIG} describes a network of {numbers} weights, but its files have {language.numbers}; use the "
            "configuration and the weights of one model",
        )
    buffers = sum(tensor.numel() for tensor in module.buffers())
    if buffers > max(_MAX_BUFFER_NUMBERS, language.numbers):
        raise InvalidInput("model", f"{CONFIG} describes a network with tables of {buffers} numbers beside its weights")
