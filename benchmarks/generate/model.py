"""The decoder of the benchmarks of texts, and prompts of a number of its tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

#: Tokens of the model's context, and of a prompt.
CONTEXT: Final = 1024
SHORTEST, LONGEST = 20, 400
VOCABULARY_SIZE: Final = 8_000


def make_model(folder: Path, texts: Sequence[str], *, large: bool) -> None:
    """Write a decoder with random weights as transformers does.

    :param large: of about a billion parameters, in bfloat16.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=2048 if large else 256,
        intermediate_size=8192 if large else 768,
        num_hidden_layers=16 if large else 4,
        num_attention_heads=32 if large else 8,
        num_key_value_heads=8 if large else 4,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    module: torch.nn.Module = LlamaForCausalLM(config)
    module.to(torch.bfloat16 if large else torch.float32)
    module.save_pretrained(folder)  # type: ignore[operator]


class Prompts:
    """Makes prompts of a number of tokens out of texts."""

    def __init__(self, folder: Path, texts: Sequence[str]) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._texts = texts
        self._draw = random.Random(0)

    def of_length(self, tokens: int) -> str:
        """A prompt of so many tokens, which begins at a text that is drawn."""
        ids: list[int] = []
        at = self._draw.randrange(len(self._texts))
        while len(ids) < tokens:
            ids += self._tokenizer(self._texts[at % len(self._texts)] + "\n")["input_ids"]
            at += 1
        return str(self._tokenizer.decode(ids[:tokens]))

    def many(self, count: int, shortest: int, longest: int) -> list[str]:
        """Prompts of lengths that are drawn."""
        return [self.of_length(self._draw.randint(shortest, longest)) for _ in range(count)]
