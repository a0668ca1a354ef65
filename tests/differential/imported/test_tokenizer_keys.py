"""One key of the tokenizer's files changed at a time: the tokens are those of transformers, or the key is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from longshore.shared.errors import CorruptBlob, InvalidInput
from tests.differential.cases import COMPARED, case_count
from tests.differential.imported.changes import changes
from tests.differential.imported.folders import PAIRS, POSITIONS, FolderKind, changed, save_folder
from tests.differential.imported.reference import tokens_of_longshore, tokens_of_transformers

FILES = ("tokenizer_config.json", "special_tokens_map.json")
#: Folders of single texts and of pairs.
KINDS: tuple[FolderKind, ...] = ("labels", "pairs")
CHANGES = [
    (kind, *change)
    for kind in KINDS
    for change in changes(kind)
    if change[0] in FILES or change[1] == "tokenizer_class"
]
#: Settings that gave other tokens without a word before.
KNOWN = [
    ("roberta", "byte-bpe", "tokenizer_config.json", "add_prefix_space", True),
    ("bert", "wordpiece", "tokenizer_config.json", "do_lower_case", False),
    ("bert", "wordpiece", "tokenizer_config.json", "split_special_tokens", True),
    ("albert", "albert", "tokenizer_config.json", "keep_accents", True),
]
Bases = dict[tuple[tuple[str, str], FolderKind], Path]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """A folder of each network with its tokenizer, for each kind."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        (pair, kind): save_folder(folder / "-".join((*pair, kind)), *pair, kind) for pair in PAIRS for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pair", PAIRS)
def test_tokens_are_those_of_transformers(bases: Bases, pair: tuple[str, str], kind: FolderKind) -> None:
    folder = bases[pair, kind]
    assert tokens_of_longshore(folder) == tokens_of_transformers(folder, POSITIONS, pairs=kind == "pairs")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("network", "tokenizer", "file", "key", "value"), KNOWN)
def test_a_setting_of_the_tokenizer_is_honoured(
    bases: Bases, tmp_path: Path, network: str, tokenizer: str, file: str, key: str, value: object, kind: FolderKind
) -> None:
    base, pairs = bases[(network, tokenizer), kind], kind == "pairs"
    folder = changed(base, tmp_path / "changed", file, key, value)
    expected = tokens_of_transformers(folder, POSITIONS, pairs=pairs)
    assert expected != tokens_of_transformers(base, POSITIONS, pairs=pairs)
    assert tokens_of_longshore(folder) == expected


@pytest.mark.parametrize("pair", PAIRS)
def test_every_key_is_honoured_or_refused(bases: Bases, tmp_path: Path, pair: tuple[str, str]) -> None:
    # 20 times as many are all.
    sample = random.Random(str(pair)).sample(CHANGES, min(case_count(-(-len(CHANGES) // 20)), len(CHANGES)))
    wrong = [message for case in sample if (message := _compare(bases[pair, case[0]], tmp_path, *case))]
    assert not wrong, "\n".join(wrong)


def _compare(base: Path, folder: Path, kind: FolderKind, file: str, key: str, value: object) -> str | None:
    """What is wrong with the tokens of a changed folder."""
    COMPARED.add()
    folder = changed(base, folder / "changed", file, key, value)
    if file == "special_tokens_map.json":  # read only if the tokenizer's configuration does not name the tokens
        (folder / "tokenizer_config.json").unlink()
    what = f"{kind} {file}: {key} {value!r}"
    try:
        tokens = tokens_of_longshore(folder)
    except InvalidInput as error:
        return None if key in str(error) else f"{what} is refused with {error}"
    except CorruptBlob:
        tokens = None
    try:
        expected = tokens_of_transformers(folder, POSITIONS, pairs=kind == "pairs")
    except Exception:  # the library refuses it in any of its ways
        return None
    if tokens is None:
        return f"{what} cannot be loaded"
    return None if tokens == expected else f"{what}: {tokens} are not {expected}"
