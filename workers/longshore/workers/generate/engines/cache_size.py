"""How much room an engine has for keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from transformers.generation.continuous_batching.utils import find_head_dim, find_num_key_value_heads

from longshore.workers.generate.engines.options import EngineOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Bytes on a CPU, at most.
_CPU_BYTES: Final = 1 << 30
#: Tokens in the cache, at most, unless one request can have more: transformers keeps indices of all.
_MAX_TOKENS: Final = 1 << 20
#: What a token takes while a layer looks at it, as a multiple of its keys and values in one layer.
_COPIES: Final = 4


def cache_blocks(
    module: PreTrainedModel, max_model_len: int, options: EngineOptions, page_size: int, requests: int
) -> int:
    """Pages of the cache, over all layers.

    :param requests: requests that run at a time. Each can be as long as the model allows; there is no more room than
        these need, with the pages that are kept for later requests.
    """
    config = module.config.get_text_config()
    layer = 2 * find_num_key_value_heads(config) * find_head_dim(config) * module.dtype.itemsize
    token = layer * (config.num_hidden_layers + _COPIES)
    if options.cache_bytes is not None:
        size = options.cache_bytes
    elif module.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(module.device)
        size = int(total * options.memory_share) - (total - free)
    else:
        size = _CPU_BYTES
    fitting = max(size, 0) // token
    useful = max(max_model_len, min(_MAX_TOKENS, 2 * requests * max_model_len))
    blocks: int = min(fitting, useful) // page_size
    return max(1, blocks)
