"""Small language models with random weights and a chat template, as transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

#: What the tokenizer is trained on.
SENTENCES = (
    "the cat sat under the red mat",
    "a dog ran to the blue moon and back again",
    "once upon a time there was a small house by the sea",
    'answer with JSON: {"name": "Ann", "age": 42, "tags": ["red", "blue"]}',
    "stocks rose on Monday as oil prices fell and the bank cut its rates",
    "system user assistant You are a helpful assistant that answers in one word.",
)
#: ChatML, as many models have it.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: The same with a place for tools and their calls.
TOOLS_TEMPLATE = (
    "{% for tool in tools or [] %}<tools>{{ tool | tojson }}</tools>{% endfor %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] or '' }}"
    "{% for call in message['tool_calls'] or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: Tokens of prompt and text together.
CONTEXT = 512


def save_chat_tokenizer(folder: Path, *, template: str | None = CHAT_TEMPLATE, words: int = 384) -> int:
    """A byte-level BPE tokenizer: every text can be written with it. Returns how many tokens it has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)
    return tokenizer.get_vocab_size()


def save_language_model(
    folder: Path,
    model_type: str = "llama",
    *,
    layers: int = 2,
    width: int = 64,
    shard_size: str = "1GB",
    template: str | None = CHAT_TEMPLATE,
    seed: int = 0,
    **more: object,
) -> None:
    """A decoder with random weights in float32, ``width`` wide, with 4 heads, which share 2 heads of keys and values if
    the architecture can.

    :param more: settings of its config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = save_chat_tokenizer(folder, template=template)
    torch.manual_seed(seed)
    settings = {
        **{"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers, "vocab_size": size},
        **{"num_attention_heads": 4, "max_position_embeddings": CONTEXT},
        # Others would keep the key in config.json and ignore it.
        **({"num_key_value_heads": 2} if hasattr(AutoConfig.for_model(model_type), "num_key_value_heads") else {}),
        **{"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False},
        **more,
    }
    config = AutoConfig.for_model(model_type, **settings)
    module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    for parameter in module.parameters():  # far from each other, so that the most probable token is never a near tie
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    module.generation_config.max_length = None
    module.save_pretrained(folder, max_shard_size=shard_size)


def save_model_that_says(folder: Path, text: str) -> None:
    """A decoder that answers every conversation with one text, and knows tools: its layers add nothing, the text is one
    token, and each token determines the next.
    """
    save_language_model(folder, template=TOOLS_TEMPLATE)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken(text, normalized=False)])
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    first = tokenizer("<|im_start|>assistant\n").input_ids[-1]
    said = tokenizer.convert_tokens_to_ids(text)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
        head.zero_()
        head[said] = embedding[first]
        head[tokenizer.eos_token_id] = embedding[said]
    model.save_pretrained(folder)


def set_generation_config(folder: Path, **values: object) -> None:
    """Change settings in ``generation_config.json``."""
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
