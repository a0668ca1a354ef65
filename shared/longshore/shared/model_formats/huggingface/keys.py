"""What Longshore does with each key that transformers and sentence-transformers read from a model folder.

Every key is honoured, refused by name because it would change the outputs in a way that is not supported, or irrelevant
to the outputs. Keys that are in none of these lists are ignored by the libraries too;
``tests/differential/imported`` searches the libraries for keys that are missing here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten


@dataclass(frozen=True)
class FileKeys:
    """The keys of one file."""

    honoured: frozenset[str]
    irrelevant: frozenset[str] = frozenset()
    #: What the library would do with a key that is not supported, and the remedy.
    refused: Mapping[str, str] = field(default_factory=dict)
    #: Values of refused keys that change nothing. Empty values never do.
    harmless: Mapping[str, Collection[object]] = field(default_factory=dict)
    #: Whether unknown keys are refused, because the library rejects them or acts on any of them.
    closed: bool = False
    #: Whether a key with this ending names a special token of the model's own.
    token_suffix: str | None = None

    @property
    def known(self) -> frozenset[str]:
        """All keys of the lists."""
        return self.honoured | self.irrelevant | self.refused.keys()

    def check(self, values: Mapping[str, object], name: str, where: str) -> None:
        """Refuse keys that would change the outputs.

        :param name: the file.
        :param where: names the folder in an error.
        :raises InvalidInput: names the file, the key and the remedy.
        """
        for key, value in values.items():
            if key in self.refused:
                if not is_empty(value) and value not in self.harmless.get(key, ()):
                    raise InvalidInput(where, f"{name}: {key} {shorten(value)} {self.refused[key]}")
            elif self.closed and key not in self.known and not self._is_token(key, value):
                raise InvalidInput(where, f"{name}: the key {shorten(key)} is not known; remove it")

    def select(self, values: Mapping[str, object]) -> dict[str, object]:
        """The honoured keys with their values."""
        return {key: value for key, value in values.items() if key in self.honoured or self._is_token(key, value)}

    def _is_token(self, key: str, value: object) -> bool:
        return self.token_suffix is not None and key.endswith(self.token_suffix) and isinstance(value, str | dict)


def is_empty(value: object) -> bool:
    """Whether a value is as if its key were missing."""
    """Whether a value is one that settings have that are not used."""
    return value is None or value is False or value in ("", [], {})


def words(text: str) -> frozenset[str]:
    """The words of a text, to write many keys."""
    return frozenset(text.split())


_SAVE_AGAIN = "is not supported; save the model again without it"
_NOT_NEEDED = "is not a setting that save_pretrained writes; remove it"

#: Which tokens are special, in ``tokenizer_config.json`` and in ``special_tokens_map.json``.
_SPECIAL = words(
    """
    bos_token eos_token unk_token sep_token pad_token cls_token mask_token additional_special_tokens
    extra_special_tokens
    """
)

CONFIG_KEYS = FileKeys(
    honoured=words(
        """
        model_type architectures id2label num_labels problem_type tokenizer_class pad_token_id vocab_size
        max_position_embeddings type_vocab_size hidden_size embedding_size intermediate_size num_hidden_layers
        num_attention_heads num_hidden_groups inner_group_num hidden_act layer_norm_eps relative_attention_num_buckets
        dim hidden_dim n_layers n_heads activation sinusoidal_pos_embds transformers_version
        sentence_transformers sbert_ce_default_activation_function
        """
    ),
    # Dropout and initialisation are used in training only; the summaries by heads that are not supported. The number
    # type is chosen by the job. Chunks change the memory that a layer takes, but not what it computes.
    irrelevant=words(
        """
        attention_dropout attention_probs_dropout_prob classifier_dropout classifier_dropout_prob dropout
        hidden_dropout_prob qa_dropout seq_classif_dropout initializer_range summary_activation summary_last_dropout
        summary_type summary_use_proj summary_first_dropout summary_proj_to_labels tie_word_embeddings use_cache dtype
        torch_dtype chunk_size_feed_forward label2id output_attentions output_hidden_states return_dict bos_token_id
        eos_token_id name_or_path _name_or_path _commit_hash function_to_apply tie_last_hidden_states
        experts_implementation rope_scaling rope_theta
        """
    ),
    refused={
        "per_layer_config": f"gives layers settings of their own, which {_SAVE_AGAIN}",
        "transformers_weights": f"names the file of the weights, which {_SAVE_AGAIN}, as model.safetensors",
        "add_cross_attention": "is for networks that generate text; only encoders are supported",
        # Code of the folder, of another package or of a server.
        **dict.fromkeys(
            (
                "auto_map",
                "custom_pipelines",
                "quantization_config",
                "adapter_config",
                "attn_implementation",
                "_attn_implementation",
                "_attn_implementation_internal",
                "kernel_config",
            ),
            "would run code that is not Longshore's own",
        ),
        "is_decoder": "is for networks that generate text; only encoders are supported",
        "is_encoder_decoder": "is for networks that generate text; only encoders are supported",
    },
)

#: The ending of keys that name a token.
_TOKEN_SUFFIX = "_token"

TOKENIZER_KEYS = FileKeys(
    token_suffix=_TOKEN_SUFFIX,
    honoured=_SPECIAL
    | words(
        """
        tokenizer_class model_max_length max_len truncation_side added_tokens_decoder split_special_tokens do_lower_case
        tokenize_chinese_chars strip_accents add_prefix_space trim_offsets keep_accents model_specific_special_tokens
        add_bos_token add_eos_token model_input_names
        """
    ),
    # Padding is not part of a text: its outputs are those of the text alone. The paths are those of the machine that
    # saved the folder. Chat templates and generation do not apply.
    irrelevant=words(
        """
        padding padding_side pad_to_multiple_of pad_token_type_id max_length stride truncation truncation_strategy
        clean_up_tokenization_spaces
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output errors verbose name_or_path
        special_tokens_map_file tokenizer_file vocab_file merges_file chat_template chat_control_tokens
        response_template response_schema add_generation_prompt max_target_length backend is_local local_files_only
        token cache_dir commit_message device_map files_loaded force_download proxies repo_id revision subfolder
        save_jinja_files slow_tokenizer_class use_fast use_source_tokenizer code_revision config mistral_format
        tokenizer_type trust_remote_code _commit_hash _from_auto _from_pipeline initial_alphabet
        continuing_subword_prefix end_of_word_suffix sanitize_control_tokens tokenizer unk_id
        """
    ),
    refused={
        "fast_tokenizer_files": f"names other files instead of tokenizer.json, which {_SAVE_AGAIN}",
        "processor_class": "needs a processor of more than texts; use the folder of a text model",
        "fix_mistral_regex": _NOT_NEEDED,
        "init_inputs": _NOT_NEEDED,
        "auto_map": "would run code that is not Longshore's own",
        "gguf_file": _NOT_NEEDED,
        **dict.fromkeys(
            (
                "tokenizer_object",
                "tokenizer_padding",
                "tokenizer_truncation",
                "post_processor",
                "vocab",
                "merges",
                "_json_padding",
                "_json_truncation",
                "_spm_precompiled_charsmap",
            ),
            "would replace a part of tokenizer.json; remove it",
        ),
    },
)

# Any key of this file replaces that of tokenizer_config.json.
SPECIAL_TOKENS_KEYS = FileKeys(honoured=_SPECIAL, closed=True, token_suffix=_TOKEN_SUFFIX)

SENTENCE_KEYS = FileKeys(
    honoured=words("max_seq_length do_lower_case"),
    # The lengths and the expansion are those of encode_query and encode_document; outputs are those of encode.
    irrelevant=words("unpad_inputs query_length document_length query_expansion backend"),
    refused={
        "transformer_task": "is not supported; use feature-extraction",
        "modality_config": "is not supported; use a model of texts whose output is last_hidden_state",
        "module_output_name": "is not supported; use token_embeddings",
        "tokenizer_name_or_path": "names another folder, which is not read; put the tokenizer into this one",
        "model_name_or_path": "names another folder, which is not read; remove it",
        **dict.fromkeys(
            (
                "processing_kwargs",
                "processor_kwargs",
                "model_kwargs",
                "config_kwargs",
                "tokenizer_args",
                "model_args",
                "config_args",
            ),
            "has options of the library, which are not supported; write them into the files that they change",
        ),
    },
    harmless={
        "transformer_task": ("feature-extraction",),
        "modality_config": ({"text": {"method": "forward", "method_output_name": "last_hidden_state"}},),
        "module_output_name": ("token_embeddings",),
    },
    closed=True,
)

#: Those of a cross-encoder: its module returns the scores of a pair of texts.
PAIR_KEYS = replace(
    SENTENCE_KEYS,
    refused={
        **SENTENCE_KEYS.refused,
        "transformer_task": "is not supported; use sequence-classification",
        "modality_config": "is not supported; use a model of texts whose output is logits",
        "module_output_name": "is not supported; use scores",
    },
    harmless={
        "transformer_task": ("sequence-classification",),
        "modality_config": ({"text": {"method": "forward", "method_output_name": "logits"}},),
        "module_output_name": ("scores",),
    },
)

POOLING_KEYS = FileKeys(
    honoured=words("pooling_mode word_embedding_dimension embedding_dimension include_prompt")
    | {
        f"pooling_mode_{mode}"
        for mode in ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens")
    }
    | {"pooling_mode_lasttoken"},
    closed=True,
)

NORMALIZE_KEYS = FileKeys(
    honoured=frozenset(),
    refused=dict.fromkeys(("module_input_name", "module_output_name"), "is not supported; use sentence_embedding"),
    harmless=dict.fromkeys(("module_input_name", "module_output_name"), ("sentence_embedding",)),
)

DENSE_KEYS = FileKeys(
    honoured=words("in_features out_features bias activation_function use_residual"),
    # The initial weights are those of the file.
    irrelevant=words("init_weight init_bias"),
    refused=NORMALIZE_KEYS.refused,
    harmless=NORMALIZE_KEYS.harmless,
)

#: Keys of each entry of ``modules.json``. ``kwargs`` names arguments that callers may pass.
MODULE_KEYS = FileKeys(honoured=words("type path name"), irrelevant=words("idx kwargs"))

PROMPT_KEYS = FileKeys(
    honoured=words("prompts default_prompt_name truncate_dim"),
    # ``activation_fn`` and ``keep_in_fp32_modules`` are read for a cross-encoder only.
    irrelevant=words("__version__ similarity_fn_name activation_fn keep_in_fp32_modules"),
    refused={
        "model_type": "is not supported; use a SentenceTransformer or a CrossEncoder",
        "requirements": "states versions of packages, which are not checked; remove it if the workers have them",
    },
    harmless={"model_type": ("SentenceTransformer",)},
)
#: Those of a cross-encoder. In which type the network computes is chosen by the job.
PAIR_PROMPT_KEYS = replace(
    PROMPT_KEYS,
    honoured=words("prompts default_prompt_name activation_fn"),
    irrelevant=words("__version__ similarity_fn_name truncate_dim keep_in_fp32_modules"),
    harmless={"model_type": ("CrossEncoder",)},
)

#: Files in the folder with which the libraries would compute something else.
REFUSED_FILES = {
    "adapter_config.json": "an adapter changes the weights; merge it into them, and save the model again",
    "processor_config.json": "a processor of more than texts is not supported; use the folder of a text model",
    "preprocessor_config.json": "a processor of more than texts is not supported; use the folder of a text model",
}
