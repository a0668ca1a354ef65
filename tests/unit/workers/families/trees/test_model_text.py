"""Models of LightGBM as text: what is read, what is refused, and that no damaged file reaches the library's parser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pytest

from longshore.shared.errors import CorruptBlob
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.families.trees import model_text
from longshore.workers.families.trees.boosted import read_trees
from longshore.workers.families.trees.model_text import TreeModel, parse_model

#: Mutations of a model, which one process loads.
MUTATIONS = 400
OBJECTIVES = {"binary": "binary sigmoid:1", "multiclass": "multiclass num_class:3", "regression": "regression"}
REGRESSION = Signature(
    features=tuple(Feature(name=name) for name in "abcdef"), task="regression", target="y", labels=None
)


def rows(count: int = 2000) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(0)
    matrix = random.standard_normal((count, 6)).astype(np.float32)
    matrix[:, 3] = random.integers(0, 70, count)
    matrix[random.random(count) < 0.2, 0] = np.nan
    return matrix


def grown(objective: str = "regression", rounds: int = 5, **settings: object) -> lgb.Booster:
    matrix = rows()
    score = np.nan_to_num(matrix[:, 0], nan=1) + matrix[:, 3] % 7
    target = {"regression": score, "binary": score > 3, "multiclass": np.digitize(score, [2, 4])}[objective]
    classes = {"num_class": 3} if objective == "multiclass" else {}
    data = lgb.Dataset(matrix, np.asarray(target, np.float64), categorical_feature=[3], params={"verbosity": -1})
    return lgb.train({"objective": objective, "verbosity": -1, "num_threads": 1, **classes, **settings}, data, rounds)


def parsed(text: str, objective: str = "regression") -> TreeModel:
    return parse_model(text, 6, OBJECTIVES[objective], 3 if objective == "multiclass" else 1)


@pytest.fixture(scope="module")
def text() -> str:
    return grown().model_to_string()


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_a_model_is_written_as_it_was_read(objective: str) -> None:
    booster = grown(objective)
    model = parsed(booster.model_to_string(), objective)
    assert model.rounds == 5
    again = lgb.Booster(model_str=model.text())
    assert np.array_equal(again.predict(rows()), booster.predict(rows()))
    assert parsed(again.model_to_string(), objective) == model
    gains = booster.feature_importance("gain")
    assert model.gains() == pytest.approx(gains, rel=1e-5)


def test_the_first_rounds_are_a_model() -> None:
    booster = grown("multiclass")
    model = parsed(booster.model_to_string(), "multiclass").first(2)
    assert np.array_equal(lgb.Booster(model_str=model.text()).predict(rows()), booster.predict(rows(), num_iteration=2))


def test_a_tree_without_splits_is_a_model() -> None:
    booster = grown(min_data_in_leaf=2000, rounds=1)
    again = lgb.Booster(model_str=parsed(booster.model_to_string()).text())
    assert np.array_equal(again.predict(rows()), booster.predict(rows()))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: "", "its first line is not 'tree'"),
        (lambda text: text[:3000], "breaks off"),
        (lambda text: text.replace("version=v4", "version=v5"), "version='v5'; 'v4' is expected"),
        (lambda text: text.replace("objective=regression", "objective=binary sigmoid:1"), "'regression' is expected"),
        (lambda text: text.replace("max_feature_idx=5", "max_feature_idx=6"), "max_feature_idx='6'; '5' is expected"),
        (lambda text: text.replace("Column_0 ", "Col[umn_0 "), "feature_names with other characters"),
        (lambda text: text.replace("Tree=1", "Tree=7"), "where tree 1 is expected"),
        (lambda text: text.replace("num_leaves=31", "num_leaves=5000000", 1), "num_leaves is 5000000, not 1 to 4096"),
        (lambda text: line(text, "split_feature", "6"), "split_feature has a number that is not 0 to 5"),
        (lambda text: line(text, "split_feature", "-1"), "split_feature has a number that is not 0 to 5"),
        (lambda text: line(text, "left_child", "0"), "do not make a tree"),
        (lambda text: line(text, "right_child", "-99"), "do not make a tree"),
        (lambda text: line(text, "leaf_value", "nan"), "leaf_value has not 31 numbers"),
        (lambda text: line(text, "leaf_value", "1e+999"), "leaf_value has a number that is not finite"),
        (lambda text: line(text, "leaf_value", "\u0661"), "leaf_value has not 31 numbers"),
        (lambda text: line(text, "threshold", "nan"), "threshold has NaN"),
        (lambda text: line(text, "decision_type", "14"), "unknown kind of missing values"),
        (lambda text: line(text, "cat_boundaries", "1"), "cat_boundaries do not increase from 0"),
        (lambda text: line(text, "cat_threshold", "-1"), "cat_threshold has a number that is not of 32 bits"),
        (lambda text: text.replace("is_linear=0", "is_linear=1", 1), "is_linear is '1', not '0'"),
    ],
)
def test_a_damaged_model_is_refused(text: str, damage: Callable[[str], str], said: str) -> None:
    damaged = damage(text)
    assert damaged != text
    with pytest.raises(CorruptBlob) as refused:
        parsed(damaged)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["split_feature", "threshold", "internal_count"])
@pytest.mark.parametrize("values", ["7", "no number"])
def test_a_tree_without_splits_has_no_numbers_of_nodes(name: str, values: str) -> None:
    text = grown(min_data_in_leaf=2000, rounds=1).model_to_string()
    assert f"\n{name}=\n" in text
    with pytest.raises(CorruptBlob, match=f"tree 0 of the model: {name} has not 0 numbers"):
        parsed(text.replace(f"\n{name}=\n", f"\n{name}={values}\n"))


def test_a_tree_of_many_lines_is_refused_before_they_are_held(text: str) -> None:
    many = text.replace("num_leaves", "x\n" * 100_000 + "num_leaves", 1)
    with pytest.raises(CorruptBlob, match="tree 0 of the model has more than 32 lines"):
        parsed(many)


def line(text: str, name: str, first: str) -> str:
    """The text with another first number in the first line of a name."""
    start = text.index(f"\n{name}=") + len(name) + 2
    return f"{text[:start]}{first}{text[start:][text[start:].index(' ') :]}"


def test_a_file_is_refused_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.txt"
    with pytest.raises(CorruptBlob, match=r"model\.txt cannot be read as a model of LightGBM: .*No such file"):
        read_trees(path, REGRESSION)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptBlob, match=r"model\.txt cannot be read as a model of LightGBM: it is no text"):
        read_trees(path, REGRESSION)
    with path.open("wb") as file:
        file.truncate(model_text.MAX_CHARS + 1)
    with pytest.raises(CorruptBlob, match="bytes; 536870912 is the most that is read"):
        read_trees(path, REGRESSION)


_CHILD = """
import random, sys
import numpy as np
from longshore.shared.errors import CorruptBlob
from longshore.workers.families.trees.boosted import load_booster
from longshore.workers.families.trees.model_text import parse_model

text, count = open(sys.argv[1]).read(), int(sys.argv[2])
text = text[: text.index("feature_importances")]
draw = random.Random(0)
rows = np.random.default_rng(1).standard_normal((20, 6)).astype(np.float32)
rows[:, 3] = draw.randrange(-5, 10**6)
refused = 0
for number in range(count):
    mutated = text
    kind = number % 4
    if kind == 0:
        mutated = text[: draw.randrange(len(text))]
    elif kind == 1:
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(mutated))
            mutated = mutated[:at] + draw.choice("0123456789-. =\\nae\\0") + mutated[at + 1 :]
    elif kind == 2:
        words = text.split(" ")
        words[draw.randrange(len(words))] = draw.choice(["999999", "-5", "nan", "1e400", "", "30", "4294967295"])
        mutated = " ".join(words)
    else:
        at = draw.randrange(len(text))
        mutated = text[:at] + text[at + draw.randrange(200) :]
    try:
        model = parse_model(mutated, 6, "regression", 1)
    except CorruptBlob:
        refused += 1
        continue
    assert np.isfinite(load_booster(model.text()).predict(rows)).all()
print(refused)
"""


def test_no_mutation_ends_the_process(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text(text)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), str(MUTATIONS)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert MUTATIONS // 2 < int(child.stdout.splitlines()[-1]) < MUTATIONS
