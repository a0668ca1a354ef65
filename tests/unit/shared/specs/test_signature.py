from __future__ import annotations

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature

ONE = (Feature(name="x"),)


def signature(**changes: object) -> Signature:
    values = {"features": ONE, "task": "classification", "target": "y", "labels": ("a", "b")}
    return Signature.model_validate(values | changes)


@pytest.mark.parametrize(
    "good",
    [
        signature(),
        signature(task="regression", labels=None),
        signature(labels=(1, True, "1")),
        signature(task="multilabel", labels=("a",)),
        signature(task="embedding", labels=None),
        signature(task="tokens", features=(Feature(name="text", kind="text"),), labels=("O",)),
        signature(task="embedding", labels=None, embedding_width=8),
        signature(features=(Feature(name="x", width=3), Feature(name="y"))),
    ],
)
def test_what_a_model_can_do_is_let_through(good: Signature) -> None:
    good.check("signature")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (signature(features=()), "features: empty; list the columns"),
        (signature(features=ONE * 2), "features: x is listed more than once"),
        (signature(features=(Feature(name=""),)), "features: '' of width None"),
        (signature(features=(Feature(name="x", width=0),)), "features: 'x' of width 0"),
        (signature(task="regression"), "labels: not allowed for the task regression"),
        (signature(labels=None), "labels: classification needs two or more"),
        (signature(labels=("a",)), "labels: classification needs two or more"),
        (signature(labels=("a", "a")), "labels: 'a' is listed more than once"),
        (signature(task="multilabel", labels=None), "labels: multilabel needs one or more"),
        (signature(task="multilabel", labels=()), "labels: multilabel needs one or more"),
        (signature(task="multilabel", labels=("a", "a")), "labels: 'a' is listed more than once"),
        (signature(task="tokens"), "task: tokens: only for models of one text"),
        (
            signature(task="tokens", features=(Feature(name="text", kind="text"),), labels=None),
            "labels: tokens needs one or more labels",
        ),
        (signature(task="embedding"), "labels: not allowed for the task embedding"),
        (signature(embedding_width=3), "embedding_width: 3: not allowed for the task classification"),
        (signature(task="embedding", labels=None, embedding_width=0), "embedding_width: 0"),
    ],
)
def test_what_no_model_can_do_is_refused(wrong: Signature, said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^signature\.{said}"):
        wrong.check("signature")


def test_versions_that_predict_one_number_are_written_as_before() -> None:
    plain = Signature(features=(Feature(name="a"),), task="regression", target="y")
    assert set(plain.model_dump(mode="json")) == {"features", "task", "target", "labels"}
    several = plain.model_copy(update={"target_width": 3})
    assert several.model_dump(mode="json")["target_width"] == 3
    assert Signature.model_validate_json(several.model_dump_json()) == several
    assert (plain.outputs, several.outputs) == (1, 3)
    with pytest.raises(InvalidInput, match=r"signature\.target_width"):
        several.model_copy(update={"task": "embedding"}).check("signature")


@pytest.mark.parametrize(
    ("known", "written"),
    [
        (
            signature(),
            '{"features":[{"name":"x","width":null}],"task":"classification","target":"y","labels":["a","b"]}',
        ),
        (
            signature(task="regression", labels=None),
            '{"features":[{"name":"x","width":null}],"task":"regression","target":"y","labels":null}',
        ),
        (
            signature(task="embedding", labels=None),
            '{"features":[{"name":"x","width":null}],"task":"embedding","target":"y","labels":null}',
        ),
    ],
)
def test_what_was_there_before_is_written_as_before(known: Signature, written: str) -> None:
    # Digests of versions are made of this text.
    assert known.model_dump_json() == written


def test_several_labels_a_row_and_embeddings_survive_json_and_know_their_outputs() -> None:
    sets = signature(task="multilabel", labels=("a", "b", "c"))
    vectors = signature(task="embedding", labels=None, embedding_width=16)
    for each, outputs in ((sets, 3), (vectors, 16), (signature(task="embedding", labels=None), None)):
        assert Signature.model_validate_json(each.model_dump_json()) == each
        assert each.outputs == outputs
    assert vectors.model_dump(mode="json")["embedding_width"] == 16
