"""The modules after the network, against ``SentenceTransformer.encode``: pooling, layers and prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling

from longshore.shared.errors import InvalidInput
from tests.differential.imported.changes import DENSE_VALUES, OTHER_VALUES
from tests.differential.imported.folders import changed, save_folder
from tests.differential.imported.reference import of_libraries, of_longshore

BERT = ("bert", "wordpiece")
#: A network with each kind of tokenizer.
NETWORKS = (BERT, ("roberta", "byte-bpe"), ("camembert", "camembert"), ("albert", "albert"), ("electra", "word-level"))
MODES = Pooling.POOLING_MODES
SEVERAL = (("cls", "max"), ("lasttoken", "mean", "cls"), ("mean", "mean_sqrt_len_tokens", "weightedmean"))
#: The keys of earlier versions, which can be true together.
OLD_KEYS = (
    ("pooling_mode_lasttoken",),
    ("pooling_mode_weightedmean_tokens",),
    ("pooling_mode_mean_tokens", "pooling_mode_cls_token"),
    ("pooling_mode_lasttoken", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_max_tokens"),
)
DENSE = "2_Dense/config.json"
PROMPTS = "config_sentence_transformers.json"
#: One of some tokens, and one that leaves no room for the text.
SHORT, LONG = "the cat: ", "the cat ran under the blue moon " * 4
Layer = Dense | Normalize


def dense(inputs: int, outputs: int, function: torch.nn.Module, *, bias: bool = True, residual: bool = False) -> Dense:
    torch.manual_seed(inputs + outputs)
    return Dense(inputs, outputs, bias=bias, activation_function=function, use_residual=residual)


def save(
    folder: Path, pair: tuple[str, str], pooling: Pooling, layers: Sequence[Layer] = (), prompt: str | None = None
) -> Path:
    """A folder whose modules are saved by the library."""
    save_folder(folder, *pair, "sentence")
    modules = json.loads((folder / "modules.json").read_text())[:1]
    for number, each in enumerate((pooling, *layers), start=1):
        path, kind = f"{number}_{type(each).__name__}", type(each)
        (folder / path).mkdir(exist_ok=True)
        each.save(str(folder / path))
        modules.append({"idx": number, "name": str(number), "path": path, "type": f"{kind.__module__}.{kind.__name__}"})
    (folder / "modules.json").write_text(json.dumps(modules))
    told = {} if prompt is None else {"prompts": {"p": prompt}, "default_prompt_name": "p"}
    (folder / PROMPTS).write_text(json.dumps(told))
    return folder


def check(folder: Path, width: int) -> None:
    found, outputs = of_longshore(folder)
    assert found == "sentence"
    assert outputs.values.shape[1] == width
    assert outputs.difference(of_libraries(folder, "sentence")) is None


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), *SEVERAL])
def test_poolings(tmp_path: Path, modes: tuple[str, ...]) -> None:
    check(save(tmp_path, BERT, Pooling(16, modes)), 16 * len(modes))


@pytest.mark.parametrize("keys", OLD_KEYS)
def test_poolings_of_earlier_versions(tmp_path: Path, keys: tuple[str, ...]) -> None:
    folder = save(tmp_path, BERT, Pooling(16))
    told = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": False, **dict.fromkeys(keys, True)}
    (folder / "1_Pooling/config.json").write_text(json.dumps(told))
    check(folder, 16 * len(keys))


@pytest.mark.parametrize("prompt", [SHORT, LONG])
@pytest.mark.parametrize("pair", NETWORKS)
def test_prompts_that_poolings_leave_out(tmp_path: Path, pair: tuple[str, str], prompt: str) -> None:
    """Of a prompt that fills the text, only the special token after it is left."""
    folder = save(tmp_path / "without", pair, Pooling(16, MODES, include_prompt=False), prompt=prompt)
    check(folder, 16 * len(MODES))
    included = save(tmp_path / "with", pair, Pooling(16, MODES, include_prompt=True), prompt=prompt)
    check(included, 16 * len(MODES))
    assert of_longshore(folder)[1].difference(of_longshore(included)[1]) is not None


LAYERS: tuple[tuple[int, tuple[Layer, ...]], ...] = (
    (12, (dense(16, 12, torch.nn.Tanh()),)),
    (12, (dense(16, 12, torch.nn.ReLU(), bias=False), Normalize())),
    (20, (Normalize(), dense(16, 20, torch.nn.GELU()))),
    (16, (dense(16, 16, torch.nn.Identity(), residual=True), Normalize(), Normalize())),
    (8, (dense(16, 24, torch.nn.GELU()), Normalize(), dense(24, 8, torch.nn.Identity(), residual=True))),
)


@pytest.mark.parametrize(("width", "layers"), LAYERS)
def test_layers(tmp_path: Path, width: int, layers: tuple[Layer, ...]) -> None:
    check(save(tmp_path, BERT, Pooling(16, "cls"), layers), width)


def test_layers_after_several_poolings_and_before_a_cut(tmp_path: Path) -> None:
    layers = (dense(32, 10, torch.nn.Tanh()), Normalize())
    folder = save(tmp_path / "base", ("roberta", "byte-bpe"), Pooling(16, ("mean", "max")), layers, SHORT)
    check(folder, 10)
    check(changed(folder, tmp_path / "cut", PROMPTS, "truncate_dim", 4), 4)


#: Values that the library takes, too.
TAKEN = (
    *(("use_residual", True), ("bias", True)),
    *(("activation_function", f"torch.nn.modules.activation.{name}") for name in ("Tanh", "ReLU", "GELU")),
    *(("activation_function", f"torch.nn.{name}") for name in ("Identity", "modules.linear.Identity", "modules.Tanh")),
    *(("type", f"sentence_transformers.models.{name}") for name in ("Dense", "Dense.Dense")),
    *(("type", f"sentence_transformers.base.modules.{name}") for name in ("Dense", "dense.Dense")),
)


@pytest.mark.parametrize(("key", "value"), TAKEN)
def test_a_setting_of_a_dense_layer(tmp_path: Path, key: str, value: object) -> None:
    base = save(tmp_path / "base", BERT, Pooling(16), [dense(16, 16, torch.nn.Tanh())])
    check(changed(base, tmp_path / "changed", "modules.json" if key == "type" else DENSE, key, value), 16)


def test_every_key_of_a_dense_layer_is_honoured_or_refused(tmp_path: Path) -> None:
    base = save(tmp_path / "base", BERT, Pooling(16), [dense(16, 16, torch.nn.Tanh())])
    cases = [(key, value) for key, values in DENSE_VALUES.items() for value in (*values, *OTHER_VALUES)]
    wrong = [message for key, value in cases if (message := _compare(base, tmp_path / "changed", key, value))]
    assert not wrong, "\n".join(wrong)


def _compare(base: Path, folder: Path, key: str, value: object) -> str | None:
    """What is wrong with the outputs of a folder with a changed dense layer."""
    changed(base, folder, DENSE, key, value)
    try:
        expected = of_libraries(folder, "sentence")
    except Exception:  # the library refuses it in any of its ways
        expected = None
    try:
        outputs = of_longshore(folder)[1]
    except InvalidInput as error:
        known = key, "use the configuration and the weights of one model"
        return None if any(text in str(error) for text in known) else f"{key} {value!r} is refused with {error}"
    if expected is None:
        return f"{key} {value!r}: only the library refuses it"
    difference = outputs.difference(expected)
    return None if difference is None else f"{key} {value!r}: {difference}"
