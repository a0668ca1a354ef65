"""Families are found by name, built-in or installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import BUILT_IN
from longshore.workers.families.registry import get_family

MODULE = """
from torch import nn
from longshore.shared.specs.families import FamilyConfig
from longshore.workers.families.base import NetworkFamily

class TinyConfig(FamilyConfig):
    scale: float = 2.0

TINY = NetworkFamily("tiny", TinyConfig, lambda config, width, outputs: nn.Linear(width, outputs))
NOTHING = object()
"""
ENTRIES = """
[longshore.families]
tiny = {module}:TINY
nothing = {module}:NOTHING
broken = {module}:ABSENT
mlp = {module}:TINY
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with families on the import path, as pip leaves one."""
    module = f"families_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    info = tmp_path / "tiny_families-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-families\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES.format(module=module))
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_configuration_has_its_family(name: str) -> None:
    family = get_family(name)
    assert (family.name, family.config) == (name, BUILT_IN[name])


@pytest.mark.usefixtures("installed")
def test_a_package_s_family_is_found_and_builds() -> None:
    family = get_family("tiny")
    assert family.build(family.config(), 3, 2)(torch.zeros(5, 3)).shape == (5, 2)


@pytest.mark.usefixtures("installed")
def test_a_package_does_not_replace_a_built_in_family() -> None:
    assert get_family("mlp").config is BUILT_IN["mlp"]


@pytest.mark.usefixtures("installed")
def test_an_unknown_family_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidInput, match=r"'mpl' is not known.*broken, causal_lm, cnn, lightgbm, linear, lora, mlp, nothing, rnn"
    ) as refused:
        get_family("mpl")
    assert refused.value.field == "family"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("name", "reason"), [("broken", "AttributeError.*ABSENT"), ("nothing", "is no family")])
def test_a_package_that_offers_no_family_is_refused(name: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        get_family(name)
