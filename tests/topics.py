"""Short made-up texts on a few topics, which a small network tells apart."""

from __future__ import annotations

import random

#: Words that say what a text is on.
TOPICS = {
    "food": ["bread", "soup", "salt", "onion", "oven", "plate"],
    "sea": ["wave", "harbour", "salt-water", "ship", "gull", "tide"],
    "sky": ["cloud", "moon", "star", "wind", "comet", "dawn"],
}
FILLERS = ["the", "a", "of", "and", "we", "saw", "there", "again", "today", "it", "was"]


def make_texts(rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 3 to 20 words, one to three of which are of their topic; and the topics."""
    drawn = random.Random(seed)
    texts, labels = [], []
    for number in range(rows):
        label = list(TOPICS)[number % len(TOPICS)]
        words = drawn.choices(TOPICS[label], k=drawn.randint(1, 3)) + drawn.choices(FILLERS, k=drawn.randint(2, 17))
        drawn.shuffle(words)
        texts.append(" ".join(words).capitalize() + ".")
        labels.append(label)
    return texts, labels
