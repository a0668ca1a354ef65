"""LoRA adapters on one loaded model: each forward pass can have requests of several, side by side.

The model is not changed. Layers that an adapter targets get a hook, which adds ``scale * B (A x)`` at the positions of
the requests with that adapter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.adapter import ADAPTER_WEIGHTS, AdapterLayer, read_adapter
from longshore.shared.model_formats.huggingface.adapter_config import ADAPTER_CONFIG
from longshore.workers.generate.engines.base import AdapterFiles

#: Names the adapter in an error.
_FIELD = "adapter"


@dataclass
class _Loaded:
    """An adapter in the memory of the device."""

    #: ``A`` as (inputs, rank) and ``scale * B`` as (rank, outputs), by the path of the layer.
    matrices: dict[str, tuple[torch.Tensor, torch.Tensor]]
    nbytes: int
    #: Requests that have it and have not ended.
    users: int = 0


@dataclass(frozen=True)
class _Selection:
    """The rows of an input of a layer that have an adapter, grouped by adapter."""

    rows: torch.Tensor
    #: Each adapter, with its first row in ``rows`` and the one after its last.
    groups: tuple[tuple[_Loaded, int, int], ...]


class AdapterPool:
    """The adapters of a model. They are loaded when first used, and evicted if room is needed and no request has them.

    :param model: a causal language model of transformers, loaded and in evaluation mode.
    :param max_bytes: memory for adapters. Each is kept in the type of the model's weights.
    """

    def __init__(self, model: nn.Module, max_bytes: int) -> None:
        self._model = model
        self._max_bytes = max_bytes
        weights = next(model.parameters())
        self._dtype, self._device = weights.dtype, weights.device
        self._head = model.get_output_embeddings()  # type: ignore[operator]
        #: The least recently used one first.
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._hooked: set[str] = set()
        #: For all layers but the last one, and for the last one, which may compute only some positions.
        self._selected: _Selection | None = None
        self._selected_logits: _Selection | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the loaded adapters take."""
        return sum(adapter.nbytes for adapter in self._loaded.values())

    @property
    def keys(self) -> tuple[str, ...]:
        """The loaded adapters, the least recently used one first."""
        return tuple(self._loaded)

    def acquire(self, files: AdapterFiles) -> bool:
        """Load an adapter if necessary, and keep it until :meth:`release` is called as often as this.

        :returns: ``False``: there is no room for it until another one is released.
        :raises InvalidInput: it cannot be read, does not fit the model, or is larger than the memory for adapters.
        """
        adapter = self._loaded.get(files.key)
        if adapter is None:
            layers = self._read(files)
            nbytes = sum(layer.rank * (layer.inputs + layer.outputs) for layer in layers) * self._dtype.itemsize
            if nbytes > self._max_bytes:
                raise InvalidInput(
                    _FIELD, f"takes {nbytes:,} bytes, but there are {self._max_bytes:,} for adapters; give them more"
                )
            if not self._make_room(nbytes):
                return False
            adapter = self._loaded[files.key] = _Loaded(self._load(files, layers), nbytes)
        adapter.users += 1
        self._loaded.move_to_end(files.key)
        return True

    def release(self, key: str) -> None:
        """A request with this adapter has ended. The adapter stays loaded while there is room."""
        self._loaded[key].users -= 1

    def select(self, spans: Sequence[tuple[str | None, int]], logits: Sequence[int] | None = None) -> None:
        """Say which positions of the next forward passes have which adapter.

        :param spans: for each request of the packed batch, in order: the key of its adapter, which it has acquired, or
            ``None``, and how many positions it has.
        :param logits: the positions for which logits are computed. Default: all.
        """
        keys = [key for key, length in spans for _ in range(length)]
        self._selected = self._select(keys)
        self._selected_logits = self._selected if logits is None else self._select([keys[row] for row in logits])

    def _select(self, keys: Sequence[str | None]) -> _Selection | None:
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            if key is not None:
                rows.setdefault(key, []).append(row)
        if not rows:
            return None
        groups, order = [], list[int]()
        for key, own in rows.items():
            groups.append((self._loaded[key], len(order), len(order) + len(own)))
            order += own
        return _Selection(torch.tensor(order, device=self._device), tuple(groups))

    def _make_room(self, nbytes: int) -> bool:
        room = self._max_bytes - sum(adapter.nbytes for adapter in self._loaded.values() if adapter.users)
        if nbytes > room:
            return False
        for key in [key for key, adapter in self._loaded.items() if not adapter.users]:
            if self.nbytes + nbytes <= self._max_bytes:
                break
            del self._loaded[key]
        return True

    def _read(self, files: AdapterFiles) -> tuple[AdapterLayer, ...]:
        names = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
        paths = {name: files.folder / name for name in names if (files.folder / name).is_file()}
        layers = read_adapter(paths, _FIELD).layers
        for layer in layers:
            _check_layer(self._model, layer)
        return layers

    def _load(
        self, files: AdapterFiles, layers: Sequence[AdapterLayer]
    ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        from safetensors import safe_open

        matrices = {}
        with safe_open(files.folder / ADAPTER_WEIGHTS, framework="pt", device="cpu") as file:
            for layer in layers:
                a, b = file.get_tensor(layer.a), file.get_tensor(layer.b).float() * layer.scale
                # Copies: the tensors of the file are views of memory that is read from the disk again and again.
                matrices[layer.module] = (
                    a.to(self._device, self._dtype, copy=True).t(),
                    b.to(self._device, self._dtype, copy=True).t(),
                )
                self._hook(layer.module)
        return matrices

    def _hook(self, path: str) -> None:
        if path not in self._hooked:
            self._hooked.add(path)
            module = self._model.get_submodule(path)

            def add_products(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
                selection = self._selected_logits if module is self._head else self._selected
                if selection is not None:
                    _add_products(selection, path, inputs[0], output)

            module.register_forward_hook(add_products)


@torch.no_grad()
def _add_products(selection: _Selection, path: str, inputs: torch.Tensor, output: torch.Tensor) -> None:
    """Add to the output of a layer in place."""
    groups = [group for group in selection.groups if path in group[0].matrices]
    if not groups:
        return
    inputs = inputs.flatten(0, -2)[selection.rows]
    products = output.new_zeros(len(inputs), output.shape[-1])
    for adapter, first, end in groups:
        a, b = adapter.matrices[path]
        torch.mm(inputs[first:end] @ a, b, out=products[first:end])
    output.view(-1, output.shape[-1]).index_add_(0, selection.rows, products)


def _check_layer(model: nn.Module, layer: AdapterLayer) -> None:
    from transformers.pytorch_utils import Conv1D

    try:
        module = model.get_submodule(layer.module)
    except AttributeError:
        raise InvalidInput(_FIELD, f"adapts {layer.module}, a layer that the model does not have") from None
    if isinstance(module, nn.Linear):
        shape = (module.in_features, module.out_features)
    elif isinstance(module, Conv1D):
        shape = (module.nx, module.nf)
    else:
        raise InvalidInput(_FIELD, f"adapts {layer.module}, a {type(module).__name__}; only linear layers can be")
    if shape != (layer.inputs, layer.outputs):
        raise InvalidInput(
            _FIELD, f"its {layer.module} has {layer.inputs} inputs and {layer.outputs} outputs, the model's has {shape}"
        )
