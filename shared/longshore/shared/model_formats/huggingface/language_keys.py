"""What Longshore does with each key of the files of a language model; see
:mod:`~longshore.shared.model_formats.huggingface.keys`.

Engines load ``config.json`` as it is, so that its honoured keys are those of the libraries. A refused key would run
code of others, or needs more than ``config.json``, the weights and the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping

from longshore.shared.model_formats.huggingface.keys import TOKENIZER_KEYS, FileKeys, words

_CODE = "would run code that is not Longshore's own; remove it"
_QUANTISED = "is not supported; save the weights in float32, bfloat16 or float16"
_PARTS = "has a network of its own, which is not supported; use the folder of a model of texts alone"

DECODER_KEYS = FileKeys(
    honoured=words(
        """
        model_type architectures transformers_version dtype torch_dtype bos_token_id eos_token_id pad_token_id
        tie_word_embeddings vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads
        num_key_value_heads head_dim max_position_embeddings hidden_act hidden_activation rms_norm_eps
        layer_norm_eps layer_norm_epsilon norm_eps norm_epsilon layer_norm_elementwise_affine attention_bias
        attention_out_bias mlp_bias use_bias bias qkv_bias use_qkv_bias enable_bias qk_layernorm use_qk_norm
        clip_qkv rope_parameters rope_theta rope_scaling partial_rotary_factor rotary_pct rotary_emb_base
        rope_local_base_freq rotary_dim original_max_position_embeddings sliding_window sliding_window_pattern
        _sliding_window_pattern use_sliding_window max_window_layers layer_types window_size attention_types
        attention_layers no_rope_layers no_rope_layer_interval activation_function activation n_ctx n_embd
        n_head n_inner n_layer n_positions num_heads num_layers ffn_dim ffn_hidden_size do_layer_norm_before
        _remove_final_layer_norm word_embed_proj_dim multi_query num_kv_heads new_decoder_architecture
        parallel_attn num_ln_in_parallel_attn use_parallel_residual scale_attn_weights
        scale_attn_by_inverse_layer_idx reorder_and_upcast_attn attention_softmax_in_fp32
        scale_attention_softmax_in_fp32 attn_logit_softcapping final_logit_softcapping query_pre_attn_scalar
        use_bidirectional_attention attention_multiplier embedding_multiplier residual_multiplier logits_scaling
        logit_scale num_experts num_local_experts num_experts_per_tok moe_intermediate_size
        shared_expert_intermediate_size mlp_only_layers decoder_sparse_step norm_topk_prob
        """
    ),
    # Training, the heads of other tasks, and what a network returns beside its logits.
    irrelevant=words(
        """
        attention_dropout attn_pdrop embd_pdrop embed_dropout embedding_dropout resid_dropout resid_pdrop
        residual_dropout hidden_dropout dropout layerdrop classifier_dropout initializer_range init_std
        router_aux_loss_coef router_jitter_noise output_router_logits pretraining_tp use_cache
        chunk_size_feed_forward id2label label2id num_labels problem_type output_attentions output_hidden_states
        return_dict is_decoder summary_activation summary_first_dropout summary_last_dropout
        summary_proj_to_labels summary_type summary_use_proj name_or_path _name_or_path _commit_hash
        tokenizer_class task_specific_params eod_token_id image_token_id mm_tokens_per_image
        tie_last_hidden_states function_to_apply experts_implementation
        """
    ),
    refused={
        **dict.fromkeys(
            (
                "auto_map",
                "custom_pipelines",
                "adapter_config",
                "attn_implementation",
                "_attn_implementation",
                "_attn_implementation_internal",
                "kernel_config",
                "trust_remote_code",
                "custom_generate",
            ),
            _CODE,
        ),
        **dict.fromkeys(("quantization_config", "compression_config", "quantization"), _QUANTISED),
        **dict.fromkeys(
            (
                "text_config",
                "vision_config",
                "audio_config",
                "encoder",
                "decoder",
                "encoder_config",
                "decoder_config",
                "speculators_config",
            ),
            _PARTS,
        ),
        "alibi": "has no positions that engines know; it is not supported",
        "per_layer_config": "gives layers settings of their own, which is not supported",
        "transformers_weights": "names the file of the weights; save the model again, as model.safetensors",
        "add_cross_attention": "is for decoders that read the output of an encoder, which are not supported",
        "is_encoder_decoder": "is not that of a decoder; use the folder of a ...ForCausalLM",
        "pruned_heads": "is not supported; save the model again without it",
    },
)

#: Those of an encoder with a decoder.
ENCODER_DECODER_KEYS = FileKeys(
    honoured=DECODER_KEYS.honoured
    | words(
        """
        is_encoder_decoder decoder_start_token_id forced_bos_token_id forced_eos_token_id d_model d_ff d_kv
        encoder_layers decoder_layers num_decoder_layers encoder_attention_heads decoder_attention_heads
        encoder_ffn_dim decoder_ffn_dim feed_forward_proj dense_act_fn is_gated_act scale_embedding
        scale_decoder_outputs relative_attention_num_buckets relative_attention_max_distance
        """
    ),
    irrelevant=DECODER_KEYS.irrelevant
    | words(
        """
        activation_dropout dropout_rate encoder_layerdrop decoder_layerdrop gradient_checkpointing initializer_factor
        """
    ),
    refused={key: reason for key, reason in DECODER_KEYS.refused.items() if key != "is_encoder_decoder"},
)

#: What is read of ``generation_config.json``; see :mod:`~longshore.shared.model_formats.huggingface.generation`. All
#: other keys of the library are noted at import if they would change the outputs, and are left out.
GENERATION_HONOURED = words(
    """
        max_new_tokens do_sample temperature top_p top_k min_p repetition_penalty eos_token_id bos_token_id
        pad_token_id
        """
)
#: Keys that change no output, or only what is returned beside it: jobs have limits of their own, and engines caches.
GENERATION_IRRELEVANT = words(
    """
        max_length transformers_version _from_model_config use_cache cache_implementation cache_config
        max_cache_len output_attentions output_hidden_states output_scores output_logits return_dict_in_generate
        num_return_sequences low_memory compile_config disable_compile continuous_batching_config
        prefill_chunk_size is_assistant num_assistant_tokens num_assistant_tokens_schedule
        assistant_confidence_threshold prompt_lookup_num_tokens max_matching_ngram_size assistant_early_exit
        assistant_lookbehind target_lookbehind assistant_ensemble_weight speculation_type use_mtp
        decoder_start_token_id renormalize_logits remove_invalid_values early_stopping length_penalty
        diversity_penalty max_time
        """
)

#: Keys of ``tokenizer_config.json`` that the classes of decoders read, too.
LANGUAGE_TOKENIZER_KEYS = FileKeys(
    token_suffix=TOKENIZER_KEYS.token_suffix,
    honoured=TOKENIZER_KEYS.honoured
    | words(
        """
        legacy use_default_system_prompt sp_model_kwargs spaces_between_special_tokens extra_ids offset src_lang
        tgt_lang mask_token_sent
        """
    ),
    irrelevant=TOKENIZER_KEYS.irrelevant | {"return_token_type_ids"},
    refused=TOKENIZER_KEYS.refused,
)

#: Values of other keys of ``generation_config.json`` that change nothing. Empty ones never do.
GENERATION_NEUTRAL: Mapping[str, float] = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "typical_p", "encoder_repetition_penalty", "guidance_scale"), 1),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), 0),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "penalty_alpha"), 0),
}
#: Keys of ``generation_config.json`` that count for an encoder with a decoder alone. The last one ends a text that is
#: as long as it may become anyway.
ENCODER_DECODER_GENERATION = frozenset({"forced_bos_token_id", "forced_eos_token_id"})
