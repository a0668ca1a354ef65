"""How many random cases the differential tests run, and how many they have compared.

They compare Longshore with an independent implementation on random inputs. The seeds are fixed: a run repeats the run
before it. ``make differential`` runs more cases than ``pytest`` does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

#: A multiple of the usual number of cases. Default: 1.
SCALE_VARIABLE = "LONGSHORE_DIFFERENTIAL_SCALE"


def case_count(usual: int) -> int:
    """The number of cases to run, at least 1, for a test that usually runs ``usual`` of them."""
    return max(1, round(usual * float(os.environ.get(SCALE_VARIABLE, "1"))))


def seeds(usual: int) -> Sequence[int]:
    """A seed for each case."""
    return range(case_count(usual))


class ComparedCases:
    """Counts the cases of the test that runs in this process.

    A case is one input that is compared as a whole: a file, a table, a column, a batch or a folder; not each of its
    rows.
    """

    def __init__(self) -> None:
        self._counted = 0

    def add(self, number: int = 1) -> None:
        """Count cases of a test that compares several of them."""
        self._counted += number

    def take(self) -> int:
        """The cases since the last call; a test that counts none is one case."""
        counted, self._counted = self._counted, 0
        return max(1, counted)


#: The cases of this process.
COMPARED = ComparedCases()
