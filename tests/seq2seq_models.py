"""Small encoders with decoders, as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from tests.language_models import save_chat_tokenizer


def save_seq2seq_model(folder: Path, model_type: str) -> None:
    """An encoder and a decoder of two layers with random weights, 64 wide, with 64 positions each."""
    size = save_chat_tokenizer(folder, template=None)
    torch.manual_seed(1)
    settings = {
        **{"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4},
        **{"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
        **{"encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "vocab_size": size, "max_position_embeddings": 64},
        **{"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": None},
        "forced_eos_token_id": None,
    }
    if model_type.endswith("t5"):
        del settings["max_position_embeddings"]
    module = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(model_type, **settings))  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:  # with large embeddings, the token that was read is the most probable one again
            torch.nn.init.normal_(parameter, std=0.05 if "shared" in name else 0.5)
    module.save_pretrained(folder)
