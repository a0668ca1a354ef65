"""What a column may call the parts of a data set."""

from __future__ import annotations

from typing import Final

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"

#: The values of a column that ``split`` names, in small letters, and what each means.
SPLITS: Final = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
