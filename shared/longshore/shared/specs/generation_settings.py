"""How an engine runs a language model: settings of a version, in its manifest."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

#: The type of the weights and of the computation. ``auto``: that of the weights.
ModelDtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
#: How an engine quantises weights while it loads them.
Quantization: TypeAlias = Literal["fp8", "bitsandbytes"]


class GenerationSettings(BaseModel):
    """Settings that are ``None`` are chosen by the engine. Only those that are set are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Tokens of prompt and text together, at most. Default: the positions of the network.
    max_model_len: Annotated[int, Field(ge=16, le=2**24)] | None = None
    #: Default: ``auto``.
    dtype: ModelDtype | None = None
    #: Devices of one worker over which each layer is split. Default: 1.
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] | None = None
    #: Only for vLLM. Default: the weights as they are.
    quantization: Quantization | None = None
    #: The share of the device's memory that weights and cache may take. Default: that of the worker.
    memory_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        fields: dict[str, object] = handler(self)
        return {name: value for name, value in fields.items() if value is not None}


#: Everything is chosen by the engine.
NO_SETTINGS: Final = GenerationSettings()
