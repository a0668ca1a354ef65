"""Direct preference optimization: the network, its loss, and what it measures.

Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a Reward Model", 2023,
https://arxiv.org/abs/2305.18290. The *reward* of an answer is ``beta`` times the logarithm of how much more probable
the network makes it than the reference model does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.callbacks import Check
from longshore.workers.train.language.block_rows import IGNORED
from longshore.workers.train.language.network import CausalNetwork
from longshore.workers.train.language.pair_rows import PairRows
from longshore.workers.train.loop.precision import Precision

#: How strongly the network is held to the reference model, unless ``beta`` says otherwise.
DEFAULT_BETA = 0.1


class PreferenceNetwork(CausalNetwork):
    """A model of transformers, from pairs, int64 ``(n, 2, 2, width)``, to log probabilities, float64 ``(n, 2)``.

    See :class:`~longshore.workers.train.language.pair_rows.PairRows`. The log probability of an answer is the sum over
    its tokens.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, packing=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The log probabilities of both answers of each row, after its prompt."""
        documents = inputs.flatten(0, 1)
        logits = super().forward(documents)
        losses = functional.cross_entropy(
            logits.float().transpose(1, 2), documents[:, 1], ignore_index=IGNORED, reduction="none"
        )
        return -losses.sum(1, dtype=torch.float64).view(len(inputs), 2)


@dataclass(frozen=True)
class PreferenceLoss:
    """The mean loss of log probabilities ``(n, 2)`` in the network and in the reference model.

    With ``smoothing``, as if this share of the rows had their answers exchanged: equation 3 of Mitchell, "A note on DPO
    with noisy preferences", 2023, https://ericmitchell.ai/cdpo.pdf.
    """

    beta: float = DEFAULT_BETA
    smoothing: float = 0.0

    @classmethod
    def of(cls, spec: TrainSpec) -> PreferenceLoss:
        """The loss that a spec asks for."""
        return cls(DEFAULT_BETA if spec.beta is None else spec.beta, spec.label_smoothing)

    def rewards(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """``(n, 2)``, of the chosen and of the rejected answers."""
        return self.beta * (outputs - targets)

    def losses(self, rewards: torch.Tensor) -> torch.Tensor:
        """The loss of each row, ``(n,)``."""
        margins = rewards[:, 0] - rewards[:, 1]
        right, wrong = functional.logsigmoid(margins), functional.logsigmoid(-margins)
        return -(1 - self.smoothing) * right - self.smoothing * wrong

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See :data:`~longshore.workers.train.objective.losses.Loss`."""
        return self.losses(self.rewards(outputs, targets)).mean()


@dataclass(frozen=True)
class PreferenceEvaluator:
    """Measures a network on rows: the mean loss, how often the chosen answer has the larger reward, by how much, and
    the mean rewards.
    """

    rows: PairRows
    loss: PreferenceLoss
    #: Rows in one forward pass.
    size: int
    #: The prefix of the metric names: ``train_``, ``val_`` or ``test_``.
    prefix: str
    #: Those to measure besides the loss.
    names: Iterable[str]
    #: That of the reference model.
    precision: Precision

    @torch.no_grad()
    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """See :class:`~longshore.workers.train.loop.loop.Evaluator`."""
        network.eval()
        parts = []
        with self.precision.context():
            for inputs, targets in self.rows.in_order(self.size):
                check()
                parts.append(self.loss.rewards(network(inputs), targets).cpu())
        rewards = torch.cat(parts)
        chosen, rejected = rewards.unbind(1)
        measured = {
            "reward_accuracy": (chosen > rejected).double().mean(),
            "reward_margin": (chosen - rejected).mean(),
            "chosen_reward": chosen.mean(),
            "rejected_reward": rejected.mean(),
        }
        values = {"loss": self.loss.losses(rewards).mean(), **{name: measured[name] for name in self.names}}
        return {self.prefix + name: float(value) for name, value in values.items()}
