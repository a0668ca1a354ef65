"""The language models of the library transformers that can be imported, by their ``model_type``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A built-in network that generates text."""

    #: The class in ``architectures``.
    name: str
    #: Whether the output layer is the embedding of tokens, if ``tie_word_embeddings`` is not stated.
    tied: bool = False
    #: Whether an encoder reads the prompt, and a decoder writes the text.
    encoder_decoder: bool = False
    #: Whether any number of tokens has positions.
    relative: bool = False


#: Decoders. ``tests/unit/workers/generate/test_architectures.py`` imports one of each.
DECODERS: Mapping[str, Architecture] = {
    "apertus": Architecture("ApertusForCausalLM"),
    "arcee": Architecture("ArceeForCausalLM"),
    "cohere": Architecture("CohereForCausalLM", tied=True),
    "cohere2": Architecture("Cohere2ForCausalLM", tied=True),
    "ernie4_5": Architecture("Ernie4_5ForCausalLM", tied=True),
    "exaone4": Architecture("Exaone4ForCausalLM"),
    "falcon": Architecture("FalconForCausalLM", tied=True),
    "gemma": Architecture("GemmaForCausalLM", tied=True),
    "gemma2": Architecture("Gemma2ForCausalLM", tied=True),
    "gemma3_text": Architecture("Gemma3ForCausalLM", tied=True),
    "glm": Architecture("GlmForCausalLM"),
    "glm4": Architecture("Glm4ForCausalLM"),
    "gpt2": Architecture("GPT2LMHeadModel", tied=True),
    "gpt_bigcode": Architecture("GPTBigCodeForCausalLM", tied=True),
    "gpt_neox": Architecture("GPTNeoXForCausalLM"),
    "gptj": Architecture("GPTJForCausalLM"),
    "granite": Architecture("GraniteForCausalLM"),
    "granitemoe": Architecture("GraniteMoeForCausalLM"),
    "helium": Architecture("HeliumForCausalLM"),
    "hunyuan_v1_dense": Architecture("HunYuanDenseV1ForCausalLM"),
    "llama": Architecture("LlamaForCausalLM"),
    "mistral": Architecture("MistralForCausalLM"),
    "mixtral": Architecture("MixtralForCausalLM"),
    "nemotron": Architecture("NemotronForCausalLM"),
    "olmo": Architecture("OlmoForCausalLM"),
    "olmo2": Architecture("Olmo2ForCausalLM"),
    "olmo3": Architecture("Olmo3ForCausalLM"),
    "olmoe": Architecture("OlmoeForCausalLM"),
    "opt": Architecture("OPTForCausalLM", tied=True),
    "phi": Architecture("PhiForCausalLM"),
    "phi3": Architecture("Phi3ForCausalLM"),
    "qwen2": Architecture("Qwen2ForCausalLM"),
    "qwen2_moe": Architecture("Qwen2MoeForCausalLM"),
    "qwen3": Architecture("Qwen3ForCausalLM"),
    "qwen3_moe": Architecture("Qwen3MoeForCausalLM"),
    "seed_oss": Architecture("SeedOssForCausalLM"),
    "smollm3": Architecture("SmolLM3ForCausalLM", tied=True),
    "stablelm": Architecture("StableLmForCausalLM"),
    "starcoder2": Architecture("Starcoder2ForCausalLM", tied=True),
}
#: Encoders with decoders, which translate and summarise.
ENCODER_DECODERS: Mapping[str, Architecture] = {
    "bart": Architecture("BartForConditionalGeneration", tied=True, encoder_decoder=True),
    "mbart": Architecture("MBartForConditionalGeneration", tied=True, encoder_decoder=True),
    "mt5": Architecture("MT5ForConditionalGeneration", tied=True, encoder_decoder=True, relative=True),
    "pegasus": Architecture("PegasusForConditionalGeneration", tied=True, encoder_decoder=True),
    "t5": Architecture("T5ForConditionalGeneration", tied=True, encoder_decoder=True, relative=True),
    "umt5": Architecture("UMT5ForConditionalGeneration", tied=True, encoder_decoder=True, relative=True),
}
ARCHITECTURES: Mapping[str, Architecture] = {**DECODERS, **ENCODER_DECODERS}
