"""Loads the weights and the tokenizer of a language model by the library transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.workers.generate.engines.options import EngineDtype
from longshore.workers.generate.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


def load_decoder(folder: Path, device: torch.device, dtype: EngineDtype) -> PreTrainedModel:
    """Load a decoder; see :func:`load_network`."""
    return load_network(folder, device, dtype, encoder_decoder=False)


def load_network(folder: Path, device: torch.device, dtype: EngineDtype, *, encoder_decoder: bool) -> PreTrainedModel:
    """Load a network, ready to run. Its weights are mapped from the files: nothing is copied in host memory.

    :param dtype: ``auto``: float32 on a CPU, and the type of the weights on a GPU.
    :param encoder_decoder: whether it is an encoder with a decoder, and not a decoder.
    :raises InvalidInput: transformers refuses the configuration.
    :raises CorruptBlob: the weights cannot be read or do not fit the configuration.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if dtype == "auto":
        dtype = "float32" if device.type == "cpu" else "auto"
    loaded: tuple[PreTrainedModel, dict[str, object]]
    library = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
    try:
        loaded = library.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported, and refused below
        )  # type: ignore[assignment]
    except (SafetensorError, OSError) as error:
        raise CorruptBlob(f"the weights cannot be loaded: {error}") from error
    except Exception as error:  # the library validates little and can raise anything
        raise InvalidInput("model", f"transformers refuses it: {type(error).__name__}: {error}") from error
    module, report = loaded
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if names := _names(report.get(kind)):
            raise CorruptBlob(f"the weights do not fit config.json: {kind.replace('_', ' ')}: {', '.join(names[:5])}")
    module.to(device)  # type: ignore[arg-type]
    module.eval()  # type: ignore[no-untyped-call]
    return module


def _names(keys: object) -> list[str]:
    return sorted(map(str, keys)) if isinstance(keys, (set, list, tuple)) else []


def load_tokens(folder: Path) -> Tokenizer:
    """The tokenizer of a model.

    :raises CorruptBlob: it cannot be loaded.
    """
    return load_tokenizer(folder).native
