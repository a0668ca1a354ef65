"""Tokenizers in other processes, each of which imports PyTorch."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.workers.train.data.test_tokenizer_training import digests


def test_the_same_texts_give_the_same_bytes_in_any_process() -> None:
    code = "from tests.unit.workers.train.data.test_tokenizer_training import digests; print(digests())"
    # Other processes have other hash seeds, in Python and in the native library.
    outputs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(3)
    }
    assert outputs == {digests()}
