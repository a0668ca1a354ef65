"""One key of the tokenizer's files changed at a time: the tokens are those of transformers, or the key is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from longshore.shared.errors import CorruptBlob, InvalidInput
from tests.differential.cases import COMPARED, case_count
from tests.differential.imported.changes import changes
from tests.differential.imported.folders import PAIRS, POSITIONS, changed, save_folder
from tests.differential.imported.reference import ids_of_longshore, ids_of_transformers

FILES = ("tokenizer_config.json", "special_tokens_map.json")
CHANGES = [change for change in changes(head=True) if change[0] in FILES or change[1] == "tokenizer_class"]
#: Of each network with its tokenizer; 20 times as many are more than all.
SAMPLE = random.Random(0)
#: Settings that gave other tokens without a word before.
KNOWN = [
    ("roberta", "byte-bpe", "tokenizer_config.json", "add_prefix_space", True),
    ("bert", "wordpiece", "tokenizer_config.json", "do_lower_case", False),
    ("bert", "wordpiece", "tokenizer_config.json", "split_special_tokens", True),
    ("albert", "albert", "tokenizer_config.json", "keep_accents", True),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A folder of each network with its tokenizer."""
    folder = tmp_path_factory.mktemp("bases")
    return {pair: save_folder(folder / "-".join(pair), *pair, head=True) for pair in PAIRS}


@pytest.mark.parametrize("pair", PAIRS)
def test_tokens_are_those_of_transformers(bases: dict[tuple[str, str], Path], pair: tuple[str, str]) -> None:
    assert ids_of_longshore(bases[pair]) == ids_of_transformers(bases[pair], POSITIONS)


@pytest.mark.parametrize(("network", "kind", "file", "key", "value"), KNOWN)
def test_a_setting_of_the_tokenizer_is_honoured(
    bases: dict[tuple[str, str], Path], tmp_path: Path, network: str, kind: str, file: str, key: str, value: object
) -> None:
    base = bases[network, kind]
    folder = changed(base, tmp_path / "changed", file, key, value)
    expected = ids_of_transformers(folder, POSITIONS)
    assert expected != ids_of_transformers(base, POSITIONS)
    assert ids_of_longshore(folder) == expected


@pytest.mark.parametrize("pair", PAIRS)
def test_every_key_is_honoured_or_refused(
    bases: dict[tuple[str, str], Path], tmp_path: Path, pair: tuple[str, str]
) -> None:
    sample = random.Random(str(pair)).sample(CHANGES, min(case_count(30), len(CHANGES)))
    wrong = [message for change in sample if (message := _compare(bases[pair], tmp_path, *change))]
    assert not wrong


def _compare(base: Path, folder: Path, file: str, key: str, value: object) -> str | None:
    """What is wrong with the tokens of a changed folder."""
    COMPARED.add()
    folder = changed(base, folder / "changed", file, key, value)
    if file == "special_tokens_map.json":  # read only if the tokenizer's configuration does not name the tokens
        (folder / "tokenizer_config.json").unlink()
    what = f"{file}: {key} {value!r}"
    try:
        tokens = ids_of_longshore(folder)
    except InvalidInput as error:
        return None if key in str(error) else f"{what} is refused with {error}"
    except CorruptBlob:
        tokens = None
    try:
        expected = ids_of_transformers(folder, POSITIONS)
    except Exception:  # the library refuses it in any of its ways
        return None
    if tokens is None:
        return f"{what} cannot be loaded"
    return None if tokens == expected else f"{what}: {tokens} are not {expected}"
