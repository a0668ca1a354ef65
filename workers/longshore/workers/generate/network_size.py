"""Refuses a configuration that describes a larger network than the files of its version, before anything is built.

The library builds what ``config.json`` says and then fills it: a few numbers there could take all memory of a worker.
"""

from __future__ import annotations

from pathlib import Path

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.language import LanguageFolder
from longshore.shared.model_formats.huggingface.network import CONFIG

#: Numbers beside the weights that a network may compute when it is built: masks and rotary tables.
_MAX_BUFFER_NUMBERS = 2**28


def check_network_size(language: LanguageFolder, folder: Path) -> None:
    """Compare the numbers of a network with those in the files.

    :param folder: as :func:`~longshore.workers.generate.folders.lay_out` made it.
    :raises InvalidInput: the network has more, or the library refuses the configuration.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):  # takes no memory
            module = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
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
