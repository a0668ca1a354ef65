"""The families over sequences: their shapes, that padding changes nothing, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import RnnConfig, TransformerConfig
from longshore.workers.families.rnn import RNN
from longshore.workers.families.transformer import TRANSFORMER

CELLS = ("rnn", "gru", "lstm")
#: Sums of float32 in another order.
CLOSE = 1e-5
VOCABULARY = 50


def token_rnn(cell: str, width: int) -> nn.Module:
    config = RnnConfig.model_validate(
        {"vocabulary": VOCABULARY, "cell": cell, "bidirectional": True, "num_layers": 2, "dropout": 0.3}
    )
    return RNN.build(config, width, 3)


def mean_rnn(cell: str, width: int) -> nn.Module:
    return pooled_rnn(cell, width, "mean")


def max_rnn(cell: str, width: int) -> nn.Module:
    return pooled_rnn(cell, width, "max")


def pooled_rnn(cell: str, width: int, pooling: str) -> nn.Module:
    config = RnnConfig.model_validate(
        {"vocabulary": VOCABULARY, "cell": cell, "bidirectional": True, "pooling": pooling}
    )
    return RNN.build(config, width, 3)


def token_transformer(_: str, width: int) -> nn.Module:
    return TRANSFORMER.build(TransformerConfig(vocabulary=VOCABULARY, d_model=16, nhead=2), width, 3)


def texts(width: int) -> torch.Tensor:
    """Rows of 1 to 6 ids, padded with 0."""
    ids = torch.randint(1, VOCABULARY, (6, width)).float()
    ids[torch.arange(width) > torch.arange(6)[:, None]] = 0
    return ids


@pytest.mark.parametrize(
    ("make", "cell"),
    [*((make, cell) for make in (token_rnn, mean_rnn, max_rnn) for cell in CELLS), (token_transformer, "")],
)
def test_padding_and_neighbours_change_nothing(make: Callable[[str, int], nn.Module], cell: str) -> None:
    torch.manual_seed(1)
    network = make(cell, 9).eval()
    rows = texts(9)
    with torch.inference_mode():
        together = network(rows)
        assert together.shape == (6, 3)
        assert together.isfinite().all()
        for row, alone in zip(rows, together, strict=True):
            assert torch.allclose(network(row[None])[0], alone, atol=CLOSE)
    narrow = make(cell, 6).eval()
    tensors = network.state_dict()
    if "encoder.positions" in tensors:
        tensors["encoder.positions"] = tensors["encoder.positions"][:6]
    narrow.load_state_dict(tensors)
    with torch.inference_mode():
        assert torch.allclose(narrow(rows[:, :6]), together, atol=CLOSE)


@pytest.mark.parametrize("cell", CELLS)
def test_an_rnn_over_numbers_is_torch_s_and_a_dense_layer(cell: str) -> None:
    config = RnnConfig.model_validate({"input_shape": [4, 3], "cell": cell, "hidden_size": 5})
    network = RNN.build(config, 12, 2)
    reference = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](3, 5, batch_first=True)
    dense = nn.Linear(5, 2)
    given = [*reference.state_dict().values(), *dense.state_dict().values()]
    network.load_state_dict(dict(zip(network.state_dict(), given, strict=True)))
    rows = torch.rand(7, 12)
    outputs, _ = reference(rows.reshape(7, 4, 3))
    assert torch.allclose(network(rows), dense(outputs[:, -1]), atol=CLOSE)


def test_a_bidirectional_rnn_reads_each_text_from_its_own_end() -> None:
    network = RNN.build(RnnConfig(vocabulary=9, bidirectional=True, hidden_size=4, embedding=3, hidden=(6,)), 5, 2)
    embedding = network.get_submodule("embedding")
    lstm, head = network.get_submodule("recurrent.cell"), network.get_submodule("head")
    _, (state, _) = lstm(embedding(torch.tensor([[3, 1, 4]])))
    assert torch.allclose(
        network(torch.tensor([[3.0, 1, 4, 0, 0]])), head(torch.cat([state[0], state[1]], dim=1)), atol=CLOSE
    )


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_states_of_all_steps_are_pooled(pooling: str) -> None:
    config = RnnConfig.model_validate({"vocabulary": 9, "hidden_size": 4, "embedding": 3, "pooling": pooling})
    network = RNN.build(config, 5, 2).eval()
    states, _ = network.get_submodule("recurrent.cell")(network.get_submodule("embedding")(torch.tensor([[3, 1, 4]])))
    pooled = states.mean(dim=1) if pooling == "mean" else states.amax(dim=1)
    rows = torch.tensor([[3.0, 1, 4, 0, 0], [3, 1, 4, 8, 8]])
    assert torch.allclose(network(rows)[:1], network.get_submodule("head")(pooled), atol=CLOSE)
    numbers = RNN.build(RnnConfig.model_validate({"input_shape": [4, 3], "pooling": pooling}), 12, 2)
    rows = torch.rand(6, 12)
    states, _ = numbers.get_submodule("1.cell")(rows.reshape(6, 4, 3))
    pooled = states.mean(dim=1) if pooling == "mean" else states.amax(dim=1)
    assert torch.allclose(numbers(rows), numbers.get_submodule("2")(pooled), atol=CLOSE)


def test_embeddings_begin_as_wide_as_they_are_told() -> None:
    made = []
    for std in (1.0, 0.1):
        torch.manual_seed(3)
        made.append(RNN.build(RnnConfig(vocabulary=VOCABULARY, embedding_std=std), 4, 2).state_dict())
    assert torch.allclose(made[1]["embedding.weight"], made[0]["embedding.weight"] * 0.1)
    assert float(made[1]["embedding.weight"][1:].std()) == pytest.approx(0.1, rel=0.05)
    assert not made[1]["embedding.weight"][0].any()
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0] if name != "embedding.weight")


@pytest.mark.parametrize("make", [lambda: token_rnn("gru", 9), lambda: token_transformer("", 9)])
def test_padding_can_be_cut_off(make: Callable[[], nn.Module]) -> None:
    network, rows = make().eval(), texts(9)
    with torch.inference_mode():
        assert torch.allclose(network(rows[:, :6]), network(rows), atol=CLOSE)


def test_a_transformer_over_numbers() -> None:
    network = TRANSFORMER.build(TransformerConfig(input_shape=(4, 3), d_model=8, nhead=2), 12, 2).eval()
    rows = torch.rand(5, 12)
    swapped = rows.reshape(5, 4, 3).flip(1).flatten(1)
    assert network(rows).shape == (5, 2)
    # It knows where each step is.
    assert not torch.allclose(network(rows), network(swapped), atol=CLOSE)


def test_a_transformer_over_tokenised_rows_obeys_mask_and_types() -> None:
    torch.manual_seed(2)
    config = TransformerConfig(vocabulary=VOCABULARY, d_model=16, nhead=2, token_types=2)
    network = TRANSFORMER.build(config, 12, 3).eval()
    ids, mask, types = torch.tensor([5.0, 7, 9, 11]), torch.tensor([1.0, 1, 1, 0]), torch.tensor([0.0, 0, 1, 0])

    def run(ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = network(torch.cat([ids, mask, types])[None])
        return outputs

    first = run(ids, mask, types)
    behind = ids.clone()
    behind[3] = 40
    assert torch.allclose(run(behind, mask, types), first, atol=CLOSE)
    assert not torch.allclose(run(behind, torch.ones(4), types), first, atol=CLOSE)
    assert not torch.allclose(run(ids, mask, torch.zeros(4)), first, atol=CLOSE)
    assert run(ids, mask, types * 2).isnan().all()
    assert run(ids, torch.zeros(4), types).isfinite().all()


@pytest.mark.parametrize("make", [lambda: token_rnn("gru", 4), lambda: token_transformer("", 4)])
def test_a_wrong_id_is_nan_in_its_row_alone(make: Callable[[], nn.Module]) -> None:
    rows = torch.tensor([[1.0, 2, 0, 0], [VOCABULARY, 1, 0, 0], [-1, 1, 0, 0], [1.5, 1, 0, 0], [0, 0, 0, 0]])
    outputs = make().eval()(rows)
    assert outputs.isnan().all(dim=1).tolist() == [False, True, True, True, False]
    assert outputs[[0, 4]].isfinite().all()


@pytest.mark.parametrize("make", [lambda: token_rnn("lstm", 4), lambda: token_transformer("", 4)])
def test_the_seed_decides_the_weights(make: Callable[[], nn.Module]) -> None:
    made = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        made.append(torch.cat([each.flatten() for each in make().parameters()]))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    ("config", "width", "field"),
    [
        (RnnConfig(), 4, "config.input_shape"),
        (RnnConfig(input_shape=(2, 2), vocabulary=5), 4, "config.vocabulary"),
        (RnnConfig(input_shape=(2, 3)), 4, "config.input_shape"),
        (TransformerConfig(vocabulary=5, d_model=10, nhead=4), 4, "config.nhead"),
        (TransformerConfig(vocabulary=5, token_types=2), 4, "config.token_types"),
        (TransformerConfig(input_shape=(2, 3), token_types=2), 6, "config.token_types"),
    ],
)
def test_wrong_configurations_are_refused(config: RnnConfig | TransformerConfig, width: int, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        (RNN if isinstance(config, RnnConfig) else TRANSFORMER).build(config, width, 2)
    assert refused.value.field == field


def test_tokenised_columns_come_in_order() -> None:
    config = TransformerConfig(vocabulary=5, token_types=2)
    config.check_columns(("input_ids", "attention_mask", "token_type_ids"))
    with pytest.raises(InvalidInput, match="in this order"):
        config.check_columns(("attention_mask", "input_ids", "token_type_ids"))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("make", [token_rnn, mean_rnn])
def test_bfloat16_runs_on_every_cpu(make: Callable[[str, int], nn.Module], cell: str) -> None:
    """Also on one for which oneDNN has no bfloat16 LSTM; the outputs are those of float32 but for rounding."""
    torch.manual_seed(0)
    network, rows = make(cell, 6).eval(), texts(6)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(rows)
    torch.testing.assert_close(outputs.float(), network(rows), rtol=0.05, atol=0.05)
