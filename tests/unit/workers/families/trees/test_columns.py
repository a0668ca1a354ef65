"""The columns of LightGBM, made of the columns of a table."""

from __future__ import annotations

from longshore.shared.specs.signature import Feature
from longshore.workers.families.trees.columns import TreeColumns


def test_each_number_of_a_long_list_has_a_name_of_its_own() -> None:
    count = 200_000
    columns = TreeColumns.of([Feature(name="a b", width=count), Feature(name="a_b_2"), Feature(name="[]")])
    assert len(set(columns.names)) == count + 2
    assert columns.names[:2] == ("a_b", "a_b_2")
    assert columns.names[-3:] == (f"a_b_{count}", "a_b_2_2", "__")
    assert columns.features[-3:] == ("a b", "a_b_2", "[]")
