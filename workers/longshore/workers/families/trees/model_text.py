"""The text of a LightGBM model, checked before the library sees it.

LightGBM's own parser trusts its input: a damaged file ends the process, or reads outside of its memory. So every line
is read here first, by the grammar that LightGBM writes, and what the library gets is written anew from the checked
values. https://lightgbm.readthedocs.io/en/stable/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from longshore.shared.errors import CorruptBlob
from longshore.workers.families.trees.tree import Tree, parse_tree

#: Characters of a model file, at most: about 200,000 trees of 31 leaves.
MAX_CHARS = 1 << 29
_KEYS = (
    *("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective"),
    *("feature_names", "feature_infos", "tree_sizes"),
)
_VERSION = "v4"
#: The name of a column.
NAME = re.compile(r"\w[\w.-]*")
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d{1,3})?"
#: The range of a column of numbers, its categories, or ``none`` for a column that no split can use.
_INFO = re.compile(rf"none|\[{_NUMBER}:{_NUMBER}\]|-?\d{{1,9}}(?::-?\d{{1,9}})*")
_END = "end of trees"
#: Lines of a tree, at most: more are refused before they are held in memory.
_MAX_TREE_LINES = 32


@dataclass(frozen=True)
class TreeModel:
    """Boosted trees: a round has one tree for each output."""

    #: The objective as LightGBM writes it, such as ``binary sigmoid:1``.
    objective: str
    #: Trees of a round: the number of classes if there are three or more, otherwise 1.
    outputs: int
    #: The names of the columns, and their ranges or categories.
    names: tuple[str, ...]
    infos: tuple[str, ...]
    trees: tuple[Tree, ...]

    @property
    def rounds(self) -> int:
        """The number of rounds."""
        return len(self.trees) // self.outputs

    def first(self, rounds: int) -> TreeModel:
        """The first rounds alone."""
        return replace(self, trees=self.trees[: rounds * self.outputs])

    def followed_by(self, other: TreeModel | None) -> TreeModel:
        """These rounds, then those of ``other``, which has the same columns."""
        return self if other is None else replace(self, trees=(*self.trees, *other.trees))

    def gains(self) -> list[float]:
        """The loss that the splits by each column have saved, added up."""
        gains = [0.0] * len(self.names)
        for tree in self.trees:
            for column, gain in tree.gains():
                gains[column] += gain
        return gains

    def text(self) -> str:
        """The model as LightGBM reads it. The same model has the same text."""
        blocks = [f"Tree={index}\n{tree.text}\n\n" for index, tree in enumerate(self.trees)]
        values = (
            *(_VERSION, self.outputs, self.outputs, 0, len(self.names) - 1, self.objective),
            *(" ".join(self.names), " ".join(self.infos), " ".join(str(len(block.encode())) for block in blocks)),
        )
        head = "".join(f"{key}={value}\n" for key, value in zip(_KEYS, values, strict=True))
        return f"tree\n{head}\n{''.join(blocks)}{_END}\n"


def parse_model(text: str, columns: int, objective: str, outputs: int) -> TreeModel:
    """Read the text of a model.

    :param columns: how many columns it must have.
    :param objective: its objective, as LightGBM writes it.
    :param outputs: trees of a round.
    :raises CorruptBlob: the text is damaged, or is of another model; names the line or the tree.
    """
    if len(text) > MAX_CHARS:
        raise CorruptBlob(f"the model has {len(text)} characters; {MAX_CHARS} is the most that is read")
    lines = _lines(text)
    head = _head(lines)
    for key in ("feature_names", "feature_infos"):
        if head[key].count(" ") != columns - 1:
            raise CorruptBlob(f"the model has {key} that are not of {columns} columns")
    names, infos = tuple(head["feature_names"].split(" ")), tuple(head["feature_infos"].split(" "))
    expected = {
        **{"version": _VERSION, "num_class": str(outputs), "num_tree_per_iteration": str(outputs)},
        **{"max_feature_idx": str(columns - 1), "objective": objective},
    }
    for key, value in expected.items():
        if head[key] != value:
            raise CorruptBlob(f"the model has {key}={head[key][:80]!r}; {value!r} is expected")
    if not all(map(NAME.fullmatch, names)):
        raise CorruptBlob("the model has feature_names with other characters than letters, digits, '_', '.' and '-'")
    if not (head["feature_infos"].isascii() and all(map(_INFO.fullmatch, infos))):
        raise CorruptBlob("the model has feature_infos that are neither ranges nor categories")
    trees = tuple(_trees(lines, columns))
    if not trees or len(trees) % outputs:
        raise CorruptBlob(f"the model has {len(trees)} trees; a multiple of {outputs} is expected")
    return TreeModel(objective, outputs, names, infos, trees)


def _lines(text: str) -> Iterator[str]:
    """The lines, one at a time: a hostile file has millions of them."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _head(lines: Iterator[str]) -> dict[str, str]:
    if next(lines, None) != "tree":
        raise CorruptBlob("the file is no model of LightGBM: its first line is not 'tree'")
    head = {}
    for key in _KEYS:
        name, _, value = next(lines, "").partition("=")
        if name != key:
            raise CorruptBlob(f"the model has the line {name[:80]!r} where {key} is expected")
        head[key] = value
    if next(lines, None) != "":
        raise CorruptBlob("the model has no empty line after its head")
    return head


def _trees(lines: Iterator[str], columns: int) -> Iterator[Tree]:
    index, block = 0, list[str]()
    for line in lines:
        if line == _END:
            if block:
                raise CorruptBlob(f"tree {index} of the model breaks off")
            return  # what follows is for people
        if line and len(block) == _MAX_TREE_LINES:
            raise CorruptBlob(f"tree {index} of the model has more than {_MAX_TREE_LINES} lines")
        if line:
            block.append(line)
        elif block:
            yield _tree(block, index, columns)
            index, block = index + 1, []
    raise CorruptBlob(f"the model breaks off after {index} trees")


def _tree(block: Sequence[str], index: int, columns: int) -> Tree:
    if block[0] != f"Tree={index}":
        raise CorruptBlob(f"the model has {block[0][:80]!r} where tree {index} is expected")
    try:
        return parse_tree(block[1:], columns)
    except ValueError as error:
        raise CorruptBlob(f"tree {index} of the model: {error}") from None
