"""Importing the folder of a language model, and what is refused before anything is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import find_files
from longshore.shared.model_formats.huggingface.generation import GenerationDefaults
from longshore.shared.model_formats.huggingface.language import LanguageFolder, base_key, read_language_model
from longshore.shared.specs.generation_settings import NO_SETTINGS
from longshore.shared.store.manifest import Blob, Manifest
from tests.unit.shared.model_formats.huggingface_files import (
    LANGUAGE_SHAPES,
    Json,
    float_tensors,
    write,
    write_language,
)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read_import(folder, None)
    assert caught.value.field == "path"


def read(folder: Path) -> LanguageFolder:
    return read_language_model(find_files(folder, "path"), "path")


def test_a_language_model_is_imported_without_unused_files(tmp_path: Path) -> None:
    write_language(tmp_path)
    write(tmp_path, "README.md", b"#")
    write(tmp_path, "modeling_mine.py", b"raise SystemExit")
    write(tmp_path, "generation_config.json", {"eos_token_id": [1, 5]})
    write(tmp_path, "chat_template.jinja", b"{{ messages }}")
    write(tmp_path, "additional_chat_templates/rag.jinja", b"rag")
    manifest = read_import(tmp_path, None).manifest
    assert list(manifest.files) == [
        *("chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json")
    ]
    assert manifest.signature.task == "generation"
    assert [(feature.name, feature.kind) for feature in manifest.signature.features] == [("prompt", "text")]
    assert b'"generation":' not in manifest.canonical()
    assert Manifest.parse(manifest.canonical()) == manifest


def test_settings_of_the_engine_are_part_of_the_version(tmp_path: Path) -> None:
    write_language(tmp_path)
    manifest = read_import(tmp_path, None, generation={"max_model_len": 32, "dtype": "bfloat16"}).manifest
    assert json.loads(manifest.canonical())["generation"] == {"max_model_len": 32, "dtype": "bfloat16"}
    assert Manifest.parse(manifest.canonical()) == manifest
    assert base_key(manifest) != base_key(manifest.model_copy(update={"generation": NO_SETTINGS}))


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"max_model_len": 65}, "generation.max_model_len", "65: the network has 64 positions"),
        ({"max_model_len": 0}, "generation.max_model_len", "greater than or equal to 16"),
        ({"max_model_len": True}, "generation.max_model_len", "True"),
        ({"max_model_len": 32.5}, "generation.max_model_len", "32.5"),
        ({"dtype": "int4"}, "generation.dtype", "'int4'"),
        ({"tensor_parallel": 0}, "generation.tensor_parallel", "0"),
        ({"memory_share": 1.5}, "generation.memory_share", "1.5"),
        ({"memory_share": float("nan")}, "generation.memory_share", "nan"),
        ({"max_len": 32}, "generation.max_len", "did you mean generation.max_model_len"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, settings: dict[str, JsonValue], field: str, message: str) -> None:
    write_language(tmp_path)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_import(tmp_path, None, generation=settings)
    assert caught.value.field == field


def test_versions_with_the_same_files_but_an_adapter_share_a_model(tmp_path: Path) -> None:
    write_language(tmp_path)
    manifest = read_import(tmp_path, None).manifest
    blob = Blob(digest=f"sha256:{'0' * 64}", size=1)
    adapted = manifest.model_copy(
        update={"files": {**manifest.files, "adapter/adapter_model.safetensors": blob}, "created_at": "now"}
    )
    assert base_key(adapted) == base_key(manifest)
    other = manifest.model_copy(update={"files": {**manifest.files, "config.json": blob}})
    assert base_key(other) != base_key(manifest)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "mine.Model"}}, "auto_map .* would run code"),
        ({"trust_remote_code": True}, "trust_remote_code True would run code"),
        ({"_attn_implementation": "someone/kernel"}, "_attn_implementation 'someone/kernel' would run code"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config .* is not supported; save the weights"),
        ({"speculators_config": {"x": 1}}, "speculators_config .* has a network of its own"),
        ({"text_config": {"model_type": "llama"}}, "text_config .* has a network of its own"),
        ({"per_layer_config": {"0": {"hidden_size": 1}}}, "per_layer_config"),
        ({"add_cross_attention": True}, "add_cross_attention True is for decoders that read"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder True is not that of a decoder"),
        ({"model_type": "mine"}, "model_type 'mine' is not one of apertus"),
        ({"model_type": ["llama"]}, r"model_type \['llama'\] is not one of"),
        ({"model_type": "mistral"}, "is not the one of mistral, MistralForCausalLM"),
        ({"architectures": ["LlamaForCausalLM", "MineForCausalLM"]}, "is not the one of llama"),
        ({"num_hidden_layers": 2**24}, "num_hidden_layers 16777216 is not a number from 1 to 1024"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3, but the weights have 2"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers '2' is not a number"),
        ({"n_layer": 5}, "n_layer is 5, but the weights have 2"),
        ({"vocab_size": 2**24}, "vocab_size is 16777216, but the weights have 6"),
        ({"hidden_size": 8}, "hidden_size is 8, but the weights have 4"),
        ({"num_experts": 2**20}, "num_experts 1048576 is not a number from 1 to 4096"),
        ({"intermediate_size": 2**30}, "intermediate_size 1073741824 is not a number"),
        ({"max_position_embeddings": None}, "max_position_embeddings is missing"),
        ({"max_position_embeddings": 2**25}, "max_position_embeddings 33554432 is not a number"),
        ({"rope_scaling": {"type": "mine"}}, "the scaling of rotary positions .* is not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "the scaling of rotary positions .* is not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 1e300}}, "more than 16777216 positions"),
        ({"rope_parameters": {"full_attention": {"rope_type": "longrope"}}}, "longrope positions by the type"),
        ({"eos_token_id": "</s>"}, "eos_token_id '</s>' is not the number of a token"),
        ({"tokenizer_class": "MineTokenizer"}, "tokenizer_class 'MineTokenizer' is not supported"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused(tmp_path: Path, config: Json, message: str) -> None:
    write_language(tmp_path, **config)
    refused(tmp_path, message)


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"rope_scaling": None}, 64),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 256),
        ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, 64),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 64),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, 64),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32}}, 128),
        ({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8}}}, 64),
        ({"max_position_embeddings": None, "n_positions": 48}, 48),
    ],
)
def test_positions_after_scaling(tmp_path: Path, config: Json, positions: int) -> None:
    write_language(tmp_path, **config)
    assert read(tmp_path).positions == positions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_head.weight": None}, "have no output layer"),
        ({"model.layers.0.mlp.up_proj.weight": None, "model.layers.2.x.weight": (1,)}, r"have the layers \[1, 2\]"),
        ({"model.embed_tokens.weight": None}, "have 0 embeddings of tokens"),
        ({"more.embed_tokens.weight": (6, 4)}, "have 2 embeddings of tokens"),
        ({"model.embed_tokens.weight": (24,)}, "not one of two dimensions"),
    ],
)
def test_tensors_that_are_refused(tmp_path: Path, changes: dict[str, tuple[int, ...] | None], message: str) -> None:
    write_language(tmp_path)
    shapes = {name: shape for name, shape in {**LANGUAGE_SHAPES, **changes}.items() if shape is not None}
    write(tmp_path, "model.safetensors", float_tensors(shapes))
    refused(tmp_path, message)


def test_tied_weights_need_no_output_layer(tmp_path: Path) -> None:
    write_language(tmp_path, tie_word_embeddings=True)
    shapes = {name: shape for name, shape in LANGUAGE_SHAPES.items() if name != "lm_head.weight"}
    write(tmp_path, "model.safetensors", float_tensors(shapes, "BF16"))
    assert read(tmp_path).numbers == 6 * 4 + 2 * 8 * 4


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    write_language(tmp_path)
    write(tmp_path, "model.safetensors", float_tensors(LANGUAGE_SHAPES, "U8"))
    refused(tmp_path, "has the type U8: quantised weights are not supported")


@pytest.mark.parametrize("name", ["adapter_config.json", "processor_config.json"])
def test_files_that_would_change_the_outputs_are_refused(tmp_path: Path, name: str) -> None:
    write_language(tmp_path)
    write(tmp_path, name, {})
    refused(tmp_path, f"there is a file {name}")


def test_pickles_are_never_read(tmp_path: Path) -> None:
    write_language(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    refused(tmp_path, "pickles .* are never read")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1}, "temperature -1 is not a number from 0 to 100"),
        ({"temperature": "hot"}, "temperature 'hot' is not a number"),
        ({"top_p": 0}, "top_p 0 is not a number above 0 to 1"),
        ({"top_p": True}, "top_p True is not a number"),
        ({"top_k": 1.5}, "top_k 1.5 is not a whole number"),
        ({"max_new_tokens": 0}, "max_new_tokens 0 is not a whole number from 1"),
        ({"repetition_penalty": 0}, "repetition_penalty 0 is not a number above 0"),
        ({"do_sample": "yes"}, "do_sample 'yes' is not true or false"),
        ({"eos_token_id": [1, "x"]}, "eos_token_id 'x' is not the number of a token"),
        ([], "is not a JSON object"),
    ],
)
def test_a_generation_that_is_refused(tmp_path: Path, values: object, message: str) -> None:
    write_language(tmp_path)
    write(tmp_path, "generation_config.json", values)
    refused(tmp_path, rf"generation_config\.json.*{message}")


@pytest.mark.parametrize(
    ("values", "defaults"),
    [
        ({}, GenerationDefaults()),
        ({"temperature": 0.5, "top_p": 0.5, "top_k": 5}, GenerationDefaults()),
        ({"do_sample": True}, GenerationDefaults(temperature=1.0, top_k=50)),
        ({"do_sample": True, "temperature": 0, "top_k": 0}, GenerationDefaults()),
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0.1},
            GenerationDefaults(temperature=0.6, top_p=0.9, top_k=20, min_p=0.1),
        ),
        (
            {"repetition_penalty": 1.1, "max_new_tokens": 9},
            GenerationDefaults(repetition_penalty=1.1, max_tokens=9),
        ),
    ],
)
def test_defaults_of_options(tmp_path: Path, values: Json, defaults: GenerationDefaults) -> None:
    write_language(tmp_path)
    write(tmp_path, "generation_config.json", values)
    assert read(tmp_path).generation.defaults == defaults


def test_end_tokens(tmp_path: Path) -> None:
    write_language(tmp_path, eos_token_id=4)
    assert read(tmp_path).generation.end_tokens == (4,)
    write(tmp_path, "generation_config.json", {"eos_token_id": [3, 2, 3]})
    assert read(tmp_path).generation.end_tokens == (2, 3)
    write(tmp_path, "generation_config.json", {"top_k": 3})
    assert read(tmp_path).generation.end_tokens == (4,)


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    write_language(tmp_path)
    values = {"num_beams": 4, "suppress_tokens": [1], "forced_bos_token_id": 0, "typical_p": 1.0, "max_length": 20}
    write(tmp_path, "generation_config.json", values)
    notes = read_import(tmp_path, None).manifest.lineage["notes"]
    assert notes == [
        "generation_config.json: forced_bos_token_id 0 is not supported and was left out",
        "generation_config.json: num_beams 4 is not supported and was left out",
        "generation_config.json: suppress_tokens [1] is not supported and was left out",
    ]


@pytest.mark.parametrize(
    ("stated", "default", "tool_use"),
    [
        (None, None, None),
        ("a", "a", None),
        ([{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}], "a", "b"),
        ({"default": "a", "rag": "c"}, "a", None),
    ],
)
def test_stated_chat_templates(tmp_path: Path, stated: object, default: str | None, tool_use: str | None) -> None:
    write_language(tmp_path)
    write(tmp_path, "tokenizer_config.json", {"chat_template": stated})
    templates = read(tmp_path).templates
    assert (templates.default, templates.tool_use) == (default, tool_use)
    write(tmp_path, "chat_template.jinja", b"file")
    write(tmp_path, "additional_chat_templates/tool_use.jinja", b"tools")
    templates = read(tmp_path).templates
    assert (templates.default, templates.tool_use) == ("file", "tools")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config.json", {"chat_template": 3}, "chat_template 3 is neither a text nor a list"),
        ("tokenizer_config.json", {"chat_template": ["a"]}, "an entry without a name"),
        ("tokenizer_config.json", {"chat_template": {"default": 3}}, "'default' is not a text"),
        ("tokenizer_config.json", {"chat_template": [{"name": "rag", "template": "a"}]}, "none with the name default"),
        ("tokenizer_config.json", {"chat_template": [{"name": "default", "template": "a"}] * 2}, "without a name of"),
        ("tokenizer_config.json", {"chat_template": "x" * (2**20 + 1)}, "is not a text of at most"),
        ("additional_chat_templates/rag.jinja", b"a", "none with the name default"),
        ("chat_template.jinja", b"\xff", r"chat_template\.jinja is not text in UTF-8"),
        ("chat_template.jinja", b"x" * (2**20 + 1), r"chat_template\.jinja is larger than"),
        ("chat_template.json", {}, "is the template of a processor"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}, "tokenizer_class 'BertTokenizer' is not"),
    ],
)
def test_a_template_or_tokenizer_that_is_refused(tmp_path: Path, name: str, content: object, message: str) -> None:
    write_language(tmp_path)
    write(tmp_path, name, content)
    refused(tmp_path, message)


def write_seq2seq(folder: Path, **config: object) -> None:
    """An encoder with a decoder."""
    sizes = {"num_layers": 1, "num_decoder_layers": 2, "vocab_size": 6, "d_model": 4, "d_ff": 8}
    names = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}
    write(folder, "config.json", {**names, **sizes, "decoder_start_token_id": 0, "eos_token_id": 1, **config})
    shapes = {
        "shared.weight": (6, 4),
        "encoder.block.0.layer.1.DenseReluDense.wi.weight": (8, 4),
        "decoder.block.0.layer.2.DenseReluDense.wi.weight": (8, 4),
        "decoder.block.1.layer.2.DenseReluDense.wi.weight": (8, 4),
    }
    write(folder, "model.safetensors", float_tensors(shapes))
    write(folder, "tokenizer.json", {"version": "1.0"})


def test_an_encoder_with_a_decoder(tmp_path: Path) -> None:
    write_seq2seq(tmp_path)
    assert read_import(tmp_path, None, generation={"max_model_len": 4096}).manifest.signature.task == "generation"
    assert read(tmp_path).positions == 1024  # 512 of each
    write(tmp_path, "generation_config.json", {"forced_bos_token_id": 3, "forced_eos_token_id": 1, "num_beams": 4})
    notes = read_import(tmp_path, None).manifest.lineage["notes"]
    assert notes == ["generation_config.json: num_beams 4 is not supported and was left out"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_layers": 2}, "num_layers is 2, but the weights have 1"),
        ({"num_decoder_layers": 1}, "num_decoder_layers is 1, but the weights have 2"),
        ({"d_model": 8}, "d_model is 8, but the weights have 4"),
        ({"decoder_start_token_id": None}, "decoder_start_token_id None is not the number of a token"),
        ({"relative_attention_num_buckets": 2**20}, "relative_attention_num_buckets 1048576 is not a number"),
        ({"tie_word_embeddings": False}, "have no output layer"),
        ({"vision_config": {"a": 1}}, "vision_config .* has a network of its own"),
    ],
)
def test_an_encoder_with_a_decoder_that_cannot_be_run_is_refused(tmp_path: Path, config: Json, message: str) -> None:
    write_seq2seq(tmp_path, **config)
    refused(tmp_path, message)


def test_settings_are_only_for_language_models(tmp_path: Path) -> None:
    write_language(tmp_path, architectures=["LlamaForSequenceClassification"])
    with pytest.raises(InvalidInput, match="generates no text") as caught:
        read_import(tmp_path, None, generation={})
    assert caught.value.field == "generation"
    write(tmp_path, "x.onnx", b"x")
    with pytest.raises(InvalidInput, match="is not the folder of a language model") as caught:
        read_import(tmp_path / "x.onnx", None, generation={})
    assert caught.value.field == "generation"
