"""Values of keys in the files of a model folder that differ from those that the folder has."""

from __future__ import annotations

from longshore.shared.model_formats.huggingface import keys
from longshore.shared.model_formats.huggingface.keys import FileKeys
from tests.differential.imported.folders import FolderKind

#: Of keys that are not listed below. A library that acts on a key mostly fails on some of them.
OTHER_VALUES: tuple[object, ...] = (True, 3, "left", {"a": 1})
_TOKEN = {"content": "extra", "lstrip": True, "rstrip": False, "normalized": False, "special": True}
_PROCESSOR = {"text": {"max_length": 4}}

TOKENIZER_VALUES: dict[str, tuple[object, ...]] = {
    "tokenizer_class": (
        "BertTokenizer",
        "BertTokenizerFast",
        "PreTrainedTokenizerFast",
        "TokenizersBackend",
        "RobertaTokenizer",
        "XLMRobertaTokenizerFast",
        "GPT2Tokenizer",
        "Unknown",
        None,
    ),
    "model_max_length": (5, 10**30, 23.0),
    "max_len": (5,),
    "truncation_side": ("left", "right"),
    "added_tokens_decoder": ({"40": _TOKEN}, {}),
    "split_special_tokens": (True,),
    "do_lower_case": (True, False),
    "tokenize_chinese_chars": (False,),
    "strip_accents": (True, False),
    "add_prefix_space": (True, False),
    "trim_offsets": (False,),
    "keep_accents": (True, False),
    "remove_space": (False,),
    "mask_token": ("extra", None),
    "cls_token": ("the", None),
    "sep_token": ("the", {"__type": "AddedToken", **_TOKEN}),
    "unk_token": ("a",),
    "pad_token": ("a",),
    "bos_token": ("the", None),
    "eos_token": ("the",),
    "additional_special_tokens": (["extra", "moon"], []),
    "extra_special_tokens": (["extra", "moon"], {"moon_token": "moon"}),
    "model_specific_special_tokens": ({"moon_token": "moon"},),
    "moon_token": ("moon",),
    "model_input_names": (
        ["input_ids"],
        ["input_ids", "attention_mask"],
        ["input_ids", "token_type_ids", "attention_mask"],
    ),
    "padding_side": ("left",),
    "add_bos_token": (True,),
    "add_eos_token": (True, False),
    "vocab_file": ("/absent/vocab.txt",),
    "tokenizer_file": ("/absent/tokenizer.json",),
    "vocab": ({"a": 0, "[UNK]": 1},),
    "merges": ([["a", "b"]],),
    "processor_class": ("CLIPProcessor",),
    "fast_tokenizer_files": (["tokenizer.1.0.json"],),
    "unk_id": (0,),
    "errors": ("strict",),
}
SPECIAL_VALUES: dict[str, tuple[object, ...]] = {
    key: value for key, value in TOKENIZER_VALUES.items() if key.endswith(("_token", "_tokens"))
} | {"do_lower_case": (False,)}

CONFIG_VALUES: dict[str, tuple[object, ...]] = {
    "model_type": ("bert", "roberta", "gpt2"),
    "architectures": (None, ["BertModel"]),
    "id2label": ({"0": 5, "1": 4, "2": 3}, {"0": "a", "1": "b", "2": None}, {"0": "a"}, ["a", "b", "c"]),
    "num_labels": (2, 5),
    "problem_type": ("regression", "multi_label_classification", "single_label_classification"),
    "tokenizer_class": ("BertTokenizer", "PreTrainedTokenizerFast", "RobertaTokenizer", "Unknown"),
    "pad_token_id": (0, 1, 2, None),
    "max_position_embeddings": (16, 64),
    "type_vocab_size": (1, 3),
    "num_attention_heads": (1, 4),
    "n_heads": (1, 4),
    "num_hidden_layers": (1, 3),
    "n_layers": (1, 3),
    "hidden_size": (8, 32),
    "dim": (8, 32),
    "intermediate_size": (8,),
    "hidden_dim": (8,),
    "embedding_size": (8,),
    "hidden_act": ("relu", "gelu_new", "absent"),
    "activation": ("relu",),
    "layer_norm_eps": (0.5,),
    "relative_attention_num_buckets": (8, 32),
    "num_hidden_groups": (1, 2),
    "inner_group_num": (2,),
    "sinusoidal_pos_embds": (True,),
    "dtype": ("float64", "float32"),
    "torch_dtype": ("float64",),
    "chunk_size_feed_forward": (1,),
    "auto_map": ({"AutoModel": "m.M"},),
    "is_decoder": (True,),
    "output_hidden_states": (True,),
    "output_attentions": (True,),
    "return_dict": (False,),
    "position_embedding_type": ("relative_key", "absolute"),
    "function_to_apply": ("none", "sigmoid"),
    "sentence_transformers": (
        {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
        {"activation_fn": "torch.nn.modules.linear.Identity"},
        {"activation_fn": "torch.nn.modules.activation.Tanh"},
        {"activation_fn": None},
        {"version": "5.0.0"},
    ),
    "sbert_ce_default_activation_function": (
        "torch.nn.modules.linear.Identity",
        "torch.nn.modules.activation.Sigmoid",
        "torch.nn.ReLU",
        "mine.Activation",
        None,
    ),
    "per_layer_config": ({"0": {"num_attention_heads": 1}},),
    "transformers_weights": ("other.safetensors",),
    "attn_implementation": ("eager",),
    "tie_word_embeddings": (False, True),
}
SENTENCE_VALUES: dict[str, tuple[object, ...]] = {
    "max_seq_length": (4, 30, None),
    "do_lower_case": (True,),
    "transformer_task": ("feature-extraction", "fill-mask", "sequence-classification"),
    "modality_config": (
        {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        {"text": {"method": "forward", "method_output_name": "logits"}},
        {"text": {"method": "forward", "method_output_name": ["hidden_states", 0]}},
    ),
    "module_output_name": ("token_embeddings", "sentence_embedding", "scores"),
    "processing_kwargs": (_PROCESSOR,),
    "processor_kwargs": ({"model_max_length": 4}, {}),
    "tokenizer_args": ({"do_lower_case": False},),
    "model_args": ({"dtype": "float64"},),
    "model_kwargs": ({"dtype": "float64"}, {}),
    "config_args": ({"num_hidden_layers": 1},),
    "config_kwargs": ({"num_hidden_layers": 1},),
    "query_expansion": ({"strategy": "fixed", "length": 8},),
    "query_length": (4,),
    "document_length": (4,),
    "unpad_inputs": (True, False),
    "tokenizer_name_or_path": ("/absent",),
}
POOLING_VALUES: dict[str, tuple[object, ...]] = {
    "pooling_mode": (
        *("cls", "max", ["max"], "lasttoken", ["cls", "mean"], ["mean", "cls"], "weightedmean", "mean_sqrt_len_tokens"),
        *([], "absent", ["mean", "absent"]),
    ),
    "pooling_mode_cls_token": (True, False),
    "pooling_mode_max_tokens": (True,),
    "pooling_mode_mean_tokens": (True, False),
    "embedding_dimension": (16,),
    "word_embedding_dimension": (16, 8),
    "include_prompt": (False, True),
}
NORMALIZE_VALUES: dict[str, tuple[object, ...]] = {
    "module_input_name": ("sentence_embedding", "token_embeddings"),
    "module_output_name": ("sentence_embedding", "other"),
}
DENSE_VALUES: dict[str, tuple[object, ...]] = {
    "in_features": (8, None),
    "out_features": (8, 0, "12", None),
    "bias": (False, None, "yes"),
    "activation_function": (
        "torch.nn.modules.linear.Identity",
        "torch.nn.modules.Tanh",
        "torch.nn.ReLU",
        "torch.nn.modules.activation.GELU",
        "torch.nn.modules.activation.Softmax",
        "torch.load",
        "mine.Activation",
        None,
    ),
    "use_residual": (True, False),
    **NORMALIZE_VALUES,
}
MODULE_VALUES: dict[str, tuple[object, ...]] = {
    "type": (
        "sentence_transformers.base.modules.normalize.Normalize",
        "sentence_transformers.base.modules.Normalize",
        "sentence_transformers.models.Dense",
        "sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm",
    ),
    "name": ("1", "other"),
    "path": ("2_Other",),
    "kwargs": (["task"],),
}
PROMPT_VALUES: dict[str, tuple[object, ...]] = {
    "activation_fn": ("torch.nn.modules.linear.Identity", "torch.nn.Sigmoid", "torch.nn.Tanh", None),
    "keep_in_fp32_modules": (["0.model.classifier"], []),
    "default_prompt_name": ("query", "absent"),
    "prompts": ({"query": "a "}, {"document": "x"}),
    "truncate_dim": (4, 16, 40),
    "similarity_fn_name": ("dot",),
    "model_type": ("SentenceTransformer", "CrossEncoder", "SparseEncoder"),
    "requirements": ({"transformers": ">=99"}, {"transformers": ">=4"}),
}

Values = dict[str, tuple[object, ...]]
_COMMON: dict[str, tuple[FileKeys, Values]] = {
    "tokenizer_config.json": (keys.TOKENIZER_KEYS, TOKENIZER_VALUES),
    "special_tokens_map.json": (keys.SPECIAL_TOKENS_KEYS, SPECIAL_VALUES),
    "config.json": (keys.CONFIG_KEYS, CONFIG_VALUES),
}
#: The keys and the values of each file, by the kind of the folder.
FILES: dict[FolderKind, dict[str, tuple[FileKeys, Values]]] = {
    "labels": _COMMON,
    "sentence": {
        **_COMMON,
        "sentence_bert_config.json": (keys.SENTENCE_KEYS, SENTENCE_VALUES),
        "1_Pooling/config.json": (keys.POOLING_KEYS, POOLING_VALUES),
        "2_Normalize/config.json": (keys.NORMALIZE_KEYS, NORMALIZE_VALUES),
        "modules.json": (keys.MODULE_KEYS, MODULE_VALUES),
        "config_sentence_transformers.json": (keys.PROMPT_KEYS, PROMPT_VALUES),
    },
    "pairs": {
        **_COMMON,
        "sentence_bert_config.json": (keys.PAIR_KEYS, SENTENCE_VALUES),
        "modules.json": (keys.MODULE_KEYS, MODULE_VALUES),
        "config_sentence_transformers.json": (keys.PAIR_PROMPT_KEYS, PROMPT_VALUES),
    },
}


def changes(kind: FolderKind) -> list[tuple[str, str, object]]:
    """All changes of one key: file, key and value."""
    return [
        (file, key, value)
        for file, (table, values) in FILES[kind].items()
        for key in sorted({*table.known, *values})
        for value in values.get(key, OTHER_VALUES)
    ]
