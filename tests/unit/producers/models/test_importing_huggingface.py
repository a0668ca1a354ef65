"""Importing a Hugging Face folder, and what is refused before anything is stored."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import find_files
from longshore.shared.model_formats.huggingface.model import read_model
from longshore.shared.model_formats.weights import TensorEntry, header
from longshore.shared.store.manifest import Manifest
from tests.unit.shared.model_formats.huggingface_files import (
    CONFIG,
    MODULES,
    Json,
    module,
    tensors,
    write,
    write_classifier,
    write_sentence,
)

INDEX = "model.safetensors.index.json"


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read_import(folder, None)
    assert caught.value.field == "path"


def test_a_classifier_is_imported_without_unused_files(tmp_path: Path) -> None:
    write_classifier(tmp_path, id2label={"0": "bad", "1": "good"})
    write(tmp_path, "README.md", b"#")
    write(tmp_path, "optimizer.json", {})
    write(tmp_path, "pytorch_model.bin", b"\x80\x02")
    write(tmp_path, "modeling_mine.py", b"raise SystemExit")
    imported = read_import(tmp_path, None)
    assert list(imported.manifest.blobs) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert imported.files == {name: tmp_path / name for name in imported.manifest.blobs}
    signature = imported.manifest.signature
    assert (signature.task, signature.target, signature.labels) == ("classification", "label", ("bad", "good"))
    assert [(feature.name, feature.kind) for feature in signature.features] == [("text", "text")]
    assert Manifest.parse(imported.manifest.canonical()) == imported.manifest


def test_import_an_embedding_model(tmp_path: Path) -> None:
    write_sentence(tmp_path)
    write(tmp_path, "sentence_bert_config.json", {"max_seq_length": 16})
    write(tmp_path, "tokenizer_config.json", {"model_max_length": 32})
    imported = read_import(tmp_path, None).manifest
    assert (imported.signature.task, imported.signature.labels) == ("embedding", None)
    assert {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json"} < imported.blobs.keys()


def test_the_smallest_token_limit_applies(tmp_path: Path) -> None:
    write_sentence(tmp_path)

    def limit() -> int:
        return read_model(find_files(tmp_path, "path"), "path").max_tokens

    assert limit() == 64
    write(tmp_path, "tokenizer_config.json", {"model_max_length": int(1e30)})
    assert limit() == 64
    write(tmp_path, "tokenizer_config.json", {"model_max_length": 32})
    assert limit() == 32
    write(tmp_path, "sentence_bert_config.json", {"max_seq_length": 16})
    assert limit() == 16
    write(tmp_path, "sentence_bert_config.json", {"max_seq_length": 40})  # counts instead of that of the tokenizer
    assert limit() == 40
    write(tmp_path, "config.json", CONFIG | {"model_type": "roberta", "max_position_embeddings": 12})
    assert limit() == 10


def test_one_output_is_a_regression(tmp_path: Path) -> None:
    write_classifier(tmp_path, id2label={"0": "LABEL_0"})
    signature = read_import(tmp_path, None).manifest.signature
    assert (signature.task, signature.target, signature.labels) == ("regression", "value", None)
    assert signature.activation == "sigmoid"


@pytest.mark.parametrize(
    ("config", "task", "outputs"),
    [
        ({"problem_type": "multi_label_classification"}, "multilabel", 2),
        ({"problem_type": "regression"}, "regression", 2),
        ({"problem_type": "single_label_classification"}, "classification", 2),
    ],
)
def test_a_problem_type_is_a_task(tmp_path: Path, config: Json, task: str, outputs: int) -> None:
    write_classifier(tmp_path, **config)
    signature = read_import(tmp_path, None).manifest.signature
    assert (signature.task, signature.outputs, signature.activation) == (task, outputs, None)


@pytest.mark.parametrize(
    ("statement", "activation"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "sigmoid"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, None),
        ({"sentence_transformers": {"version": "4.0.0"}}, "sigmoid"),
    ],
)
def test_a_cross_encoder_reads_two_columns(tmp_path: Path, statement: Json, activation: str | None) -> None:
    write_classifier(tmp_path, id2label={"0": "LABEL_0"}, **statement)
    signature = read_import(tmp_path, None).manifest.signature
    assert [(feature.name, feature.kind) for feature in signature.features] == [("text", "text"), ("text_pair", "text")]
    assert (signature.task, signature.outputs, signature.activation) == ("regression", 1, activation)


def test_labels_of_tokens_are_texts(tmp_path: Path) -> None:
    write_classifier(tmp_path, architectures=["BertForTokenClassification"], id2label={"0": "O", "1": "B-PER"})
    signature = read_import(tmp_path, None).manifest.signature
    assert (signature.task, signature.target, signature.labels) == ("tokens", "spans", ("O", "B-PER"))
    write_classifier(tmp_path, architectures=["BertForTokenClassification"], id2label={"0": "O", "1": 5})
    refused(tmp_path, "id2label names output 1 5; labels of tokens are texts")


def test_labels_can_be_numbers(tmp_path: Path) -> None:
    write_classifier(tmp_path, id2label={"0": 1, "1": 5})
    assert read_import(tmp_path, None).manifest.signature.labels == (1, 5)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("tokenizer_config.json", {"fast_tokenizer_files": ["a.json"]}, "fast_tokenizer_files"),
        ("tokenizer_config.json", {"processor_class": "CLIPProcessor"}, "processor_class 'CLIPProcessor' needs"),
        ("special_tokens_map.json", {"do_lower_case": False}, "the key 'do_lower_case' is not known"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task 'fill-mask'"),
        ("sentence_roberta_config.json", {"mine": 1}, r"sentence_roberta_config\.json: the key 'mine' is not known"),
        ("1_Pooling/config.json", {"pooling_mode": "absent"}, "pooling_mode 'absent' is not supported; use one of cls"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean"] * 7}, "pooling_mode .* is not supported; use one of cls"),
        ("2_Normalize/config.json", {"module_output_name": "x"}, "module_output_name 'x'"),
        ("config_sentence_transformers.json", {"model_type": "CrossEncoder"}, "other modules than Transformer"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "model_type 'SparseEncoder' is not"),
        ("config_sentence_transformers.json", {"truncate_dim": 0}, "truncate_dim 0 is not a number from 1"),
        ("adapter_config.json", {}, r"there is a file adapter_config\.json"),
        ("modules.json", [MODULES[0], {**MODULES[1], "name": "Transformer"}], "two modules have the same name"),
    ],
)
def test_a_setting_that_would_change_outputs_is_refused_by_name(
    tmp_path: Path, file: str, values: object, message: str
) -> None:
    write_sentence(tmp_path)
    write(tmp_path, file, values)
    refused(tmp_path, message)


def test_tensors_can_be_in_several_files(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "a.safetensors")
    write(tmp_path, INDEX, {"weight_map": {"w": "a.safetensors"}})
    names = list(read_import(tmp_path, None).manifest.blobs)
    assert names == ["a.safetensors", "config.json", INDEX, "tokenizer.json"]


@pytest.mark.parametrize("placed", ["../a.safetensors", "/etc/passwd", "b.safetensors", "config.json", 3, None])
def test_an_index_can_only_name_files_of_the_folder(tmp_path: Path, placed: object) -> None:
    write_classifier(tmp_path / "model")
    (tmp_path / "model/model.safetensors").rename(tmp_path / "a.safetensors")
    write(tmp_path / "model", INDEX, {"weight_map": {"w": placed}})
    refused(tmp_path / "model", "which is not a safetensors file in it")


@pytest.mark.parametrize("placed", [{"v": "a.safetensors"}, {"w": "a.safetensors", "v": "a.safetensors"}])
def test_an_index_must_match_its_files(tmp_path: Path, placed: Json) -> None:
    write_classifier(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "a.safetensors")
    write(tmp_path, INDEX, {"weight_map": placed})
    refused(tmp_path, "does not match the files")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"auto_map": {"AutoModel": "mine.Model"}}, r"config\.json has 'auto_map'"),
        ({"quantization_config": {"quant_method": "x"}}, "has 'quantization_config'"),
        ({"_attn_implementation": "someone/kernel"}, "has '_attn_implementation'"),
        ({"model_type": "mine"}, "model_type 'mine' is not one of albert, bert"),
        ({"model_type": ["bert"]}, "model_type .* is not one of"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not one of"),
        ({"is_decoder": True}, "it generates text"),
        ({"architectures": ["BertModel"]}, r"there is no modules\.json"),
        ({"architectures": "BertForSequenceClassification"}, r"there is no modules\.json"),
        ({"problem_type": "single_label_classification", "id2label": {"0": "a"}}, "needs two labels or more"),
        ({"id2label": {"1": "a", "2": "b"}}, "id2label .* does not name the outputs"),
        ({"id2label": {"0": "a", "1": "a"}}, "gives two outputs the same name"),
        ({"id2label": ["a", "b"]}, "id2label .* is not an object"),
        ({"id2label": {"0": "a", "1": None}}, "id2label names output 1 None; write a text or a whole number"),
        ({"id2label": {"0": 1.5, "1": 2}}, "id2label names output 0 1.5; write a text or a whole number"),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.Tanh"}},
            "activation_fn 'torch.nn.Tanh' is not supported",
        ),
        (
            {"sbert_ce_default_activation_function": "a.B"},
            "sbert_ce_default_activation_function 'a.B' is not supported",
        ),
        ({"model_type": "roberta", "pad_token_id": None}, "pad_token_id None: positions of roberta"),
        ({"tokenizer_class": "Mine"}, "tokenizer_class 'Mine' is not supported; save the tokenizer as"),
        ({"per_layer_config": {"0": {"num_attention_heads": 1}}}, "per_layer_config"),
        ({"max_position_embeddings": "64"}, "max_position_embeddings '64' is not a number"),
        ({"max_position_embeddings": 2}, "leave no room"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers 1000000000000 is not a number"),
        ({"num_hidden_layers": 2**24}, "num_hidden_layers 16777216 is not a number from 1 to 1024"),
        ({"model_type": "albert", "num_hidden_groups": 2**24}, "num_hidden_groups 16777216 is not a number"),
        ({"model_type": "albert", "inner_group_num": 2**24}, "inner_group_num 16777216 is not a number"),
        ({"num_labels": 2**24}, "num_labels 16777216 is not a number"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused(tmp_path: Path, config: Json, message: str) -> None:
    write_classifier(tmp_path, **config)
    refused(tmp_path, message)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_hidden_layers": 1000}, "num_hidden_layers is 1000, but the weights have 2; use the configuration"),
        ({"vocab_size": 2**24}, "vocab_size is 16777216, but the weights have 4"),
        ({"max_position_embeddings": 2**24}, "max_position_embeddings is 16777216, but the weights have 64"),
        ({"hidden_size": 16}, "hidden_size is 16, but the weights have 8"),
        ({"id2label": {"0": "a", "1": "b"}}, "the number of labels is 2, but the weights have 3"),
        ({"num_labels": 2**20}, "the number of labels is 1048576, but the weights have 3"),
    ],
)
def test_a_configuration_of_another_size_than_the_weights_is_refused(
    tmp_path: Path, config: Json, message: str
) -> None:
    shapes = {
        "bert.embeddings.word_embeddings.weight": (4, 8),
        "bert.embeddings.position_embeddings.weight": (64, 8),
        "bert.encoder.layer.0.intermediate.dense.weight": (2, 8),
        "bert.encoder.layer.1.intermediate.dense.weight": (2, 8),
        "classifier.weight": (3, 8),
    }
    sizes = {"num_hidden_layers": 2, "vocab_size": 4, "hidden_size": 8, "intermediate_size": 2, "num_labels": 3}
    write_classifier(tmp_path, **sizes)
    entries = [TensorEntry(name, "F32", shape, 4 * math.prod(shape)) for name, shape in shapes.items()]
    write(tmp_path, "model.safetensors", header(entries) + bytes(sum(entry.nbytes for entry in entries)))
    read_import(tmp_path, None)
    write(tmp_path, "config.json", CONFIG | sizes | config)
    refused(tmp_path, message)


def test_a_tokenizer_that_makes_texts_much_longer_is_refused(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    rules = [
        {"type": "Replace", "pattern": {"String": letter}, "content": other * 50}
        for letter, other in (("a", "b"), ("b", "a")) * 6
    ]
    write(tmp_path, "tokenizer.json", {"normalizer": {"type": "Sequence", "normalizers": rules}})
    refused(tmp_path, r"tokenizer\.json: its steps can make a text 2\.44e\+20 times as long")


@pytest.mark.parametrize(
    ("modules", "pooling", "message"),
    [
        ([*MODULES[:2], module("LayerNorm", "2_LayerNorm")], {}, "is not supported; use Transformer, Pooling"),
        ([MODULES[0], MODULES[2], MODULES[1]], {}, "is not supported; use Transformer, Pooling"),
        ([*MODULES[:2], *({**MODULES[2], "name": str(at)} for at in range(31))], {}, "has 33 modules, more than 32"),
        (
            [module("Transformer"), module("Pooling", "1_Pooling", "mine")],
            {},
            "is not supported; use Transformer, Pooling",
        ),
        (MODULES[1:], {}, "must be in the folder itself"),
        (MODULES[:1], {}, "has only Transformer"),
        ({}, {}, "is not supported; use Transformer, Pooling"),
        ([module("Transformer", "0_T"), *MODULES[1:]], {}, "must be in the folder itself"),
        ([MODULES[0], module("Pooling", "../x")], {}, r"the path '\.\./x' is not a folder"),
        ([MODULES[0], module("Pooling", "absent")], {}, r"there is no absent/config\.json"),
        (MODULES, {"pooling_mode_mean_tokens": False}, r"pooling_mode \[\] is not supported"),
        (MODULES, {"word_embedding_dimension": 12}, "vectors of 12 numbers"),
        (MODULES, {"include_prompt": 0}, "include_prompt 0 is not true or false"),
    ],
)
def test_a_pooling_that_cannot_be_run_is_refused(tmp_path: Path, modules: object, pooling: Json, message: str) -> None:
    write_sentence(tmp_path, modules, **pooling)
    refused(tmp_path, message)


HUGE = (100_000_001).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header would have"),
        (tensors()[:7], "its header would have"),
        (tensors()[:-1], "7 bytes of values"),
        (tensors() + b"x", "9 bytes of values"),
        (HUGE + bytes(100), "its header would have 100000001 bytes"),
        (b"\xff" * 16, "its header would have"),
        (b"\x80\x02}q\x00." + bytes(20), "its header would have"),
        ((9).to_bytes(8, "little") + b'{"a":1,"a', "is not a valid safetensors file"),
        ((15).to_bytes(8, "little") + b'{"a":{},"a":{}}', "'a' is given more than once"),
        (tensors({}, b""), "has no tensors"),
        (tensors({"w": 1}), "entry of tensor 'w' is damaged"),
        (tensors({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}), "is damaged"),
        (tensors({"w": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}}), "is damaged"),
        (tensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}), "begins at byte 8, not 0"),
        (tensors({"w": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}), "has the type 'F8_E4M3'"),
    ],
)
def test_a_damaged_file_of_tensors_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    write_classifier(tmp_path)
    write(tmp_path, "model.safetensors", content)
    refused(tmp_path, message)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl"])
def test_pickles_are_never_read(tmp_path: Path, name: str) -> None:
    write_classifier(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / name)
    refused(tmp_path, "pickles .* are never read.*safe_serialization=True")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b'{"a": 1, "a": 2}', b"[]", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_ambiguous_or_invalid_json_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    write_classifier(tmp_path)
    write(tmp_path, name, content)
    refused(tmp_path, f"{name} (is not JSON|is not a JSON object)")


def test_a_folder_needs_its_tokenizer(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    refused(tmp_path, r"there is no tokenizer\.json")
    write(tmp_path, "tokenizer.json", {})
    write(tmp_path, "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["mine.T", None]}})
    refused(tmp_path, r"tokenizer_config\.json has 'auto_map'")


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors", "1_Pooling"])
def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    write_sentence(folder)
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    refused(folder, f"{name} is a link to a target outside")


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "target")
    (tmp_path / "tokenizer.json").symlink_to("target")
    assert "tokenizer.json" in read_import(tmp_path, None).manifest.blobs


def test_importing_an_exported_folder_gives_the_same_version(tmp_path: Path) -> None:
    write_sentence(tmp_path / "original")
    manifest = read_import(tmp_path / "original", None).manifest
    exported = tmp_path / "exported"
    shutil.copytree(tmp_path / "original", exported)
    write(exported, "manifest.json", manifest.canonical())
    assert read_import(exported, None).manifest.digest == manifest.digest

    other = json.loads(manifest.canonical())
    other["signature"] = {**other["signature"], "target": "another"}
    write(exported, "manifest.json", other)
    refused(exported, "has a different signature from its model")
    write(exported, "manifest.json", manifest.canonical())
    (exported / "tokenizer.json").unlink()
    refused(exported, r"tokenizer\.json: there is no such file")


@pytest.mark.parametrize("path", ["../x", "/x", "a/../x", "", "a//b", ".", "a b", "manifest.json"])
def test_a_manifest_can_only_name_plain_files(tmp_path: Path, path: str) -> None:
    write_classifier(tmp_path)
    values = json.loads(read_import(tmp_path, None).manifest.canonical())
    values["files"][path] = values["files"].pop("config.json")
    with pytest.raises(InvalidInput, match="manifest"):
        Manifest.parse(json.dumps(values).encode())


def test_a_manifest_has_files_or_weights(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    values = json.loads(read_import(tmp_path, None).manifest.canonical())
    blob = values["files"]["config.json"]
    for changes, message in (
        ({"weights": blob}, r"manifest\.weights: not allowed for a version of the runtime huggingface"),
        ({"files": {}}, "must have files"),
        ({"runtime": "onnx"}, r"manifest\.weights: required"),
        ({"runtime": "onnx", "weights": blob, "files": {"model.onnx": blob}}, "model.onnx is reserved"),
    ):
        with pytest.raises(InvalidInput, match=message):
            Manifest.parse(json.dumps({**values, **changes}).encode())


def test_the_name_of_a_prompt_is_a_text(tmp_path: Path) -> None:
    write_sentence(tmp_path)
    write(tmp_path, "config_sentence_transformers.json", {"prompts": {"q": "query: "}, "default_prompt_name": {}})
    refused(tmp_path, "there is no prompt {}")
