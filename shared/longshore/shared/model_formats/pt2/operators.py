"""The operators that a program may call.

These are the operators of PyTorch's library ``aten`` that only compute tensors from tensors and numbers. They are
listed by name, because others read files, return uninitialised memory, change their arguments, or do not validate them
and read outside of tensors.
All of PyTorch's core operators are included, except those that do such a thing, draw random numbers, or return sizes
that depend on values: https://docs.pytorch.org/docs/stable/torch.compiler_ir.html
"""

from __future__ import annotations

import re

#: The target of a call: the name of the operator, followed by its overload.
_ATEN = re.compile(r"torch\.ops\.aten\.(?P<name>[A-Za-z0-9_]{1,80})\.(?P<overload>[A-Za-z0-9_]{1,80})")

_ELEMENTWISE = """
    abs absolute acos acosh add addcdiv addcmul arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
    atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp
    clamp_max clamp_min clip copysign cos cosh deg2rad div divide eq erf erfc erfinv exp exp2 expm1 fix float_power
    floor floor_divide fmax fmin fmod frac gcd ge greater greater_equal gt heaviside hypot i0 isclose isfinite isinf
    isnan isneginf isposinf le lerp less less_equal lgamma log log10 log1p log2 logaddexp logaddexp2 logical_and
    logical_not logical_or logical_xor logit lt maximum minimum mul multiply nan_to_num ne neg negative not_equal
    positive pow rad2deg reciprocal remainder round rsqrt rsub sgn sigmoid sign signbit sin sinc sinh special_erf
    special_erfc special_erfinv special_exp2 special_expit special_expm1 special_i0 special_log1p special_logit
    special_ndtr special_xlogy sqrt square sub subtract tan tanh true_divide trunc where xlogy
"""
_ACTIVATIONS = """
    celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_softmax mish prelu relu relu6
    selu silu softmax softplus softshrink special_log_softmax special_softmax threshold
    _log_softmax _softmax
"""
_REDUCTIONS = """
    all amax amin aminmax any argmax argmin count_nonzero cummax cummin cumprod cumsum dist frobenius_norm
    linalg_matrix_norm linalg_norm linalg_vector_norm logcumsumexp logsumexp max mean median min nanmean nanmedian
    nansum norm nuclear_norm prod special_logsumexp std std_mean sum var var_mean
"""
_PRODUCTS = """
    addbmm addmm addmv addr baddbmm bilinear bmm cdist chain_matmul cosine_similarity cross dot einsum inner kron
    linalg_cross linalg_matmul linalg_multi_dot linalg_vecdot linear matmul matrix_power mm mv outer pairwise_distance
    pdist tensordot trace vdot
"""
_SHAPES = """
    adjoint alias atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors broadcast_to cat chunk clone
    column_stack combinations concat concatenate constant_pad_nd contiguous copy detach detach_copy diag diag_embed
    diagonal diff dsplit dstack expand expand_as flatten flip fliplr flipud gather hsplit hstack im2col col2im index
    index_add index_copy index_fill index_put index_select kthvalue lift_fresh lift_fresh_copy masked_fill
    masked_scatter masked_select meshgrid moveaxis movedim msort narrow narrow_copy nonzero numpy_T pad permute
    pixel_shuffle pixel_unshuffle ravel reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave
    replication_pad1d replication_pad2d replication_pad3d reshape reshape_as roll rot90 scatter scatter_add
    scatter_reduce select select_copy select_scatter slice slice_copy slice_scatter diagonal_scatter sort split
    split_with_sizes squeeze squeeze_copy stack swapaxes swapdims t t_copy take take_along_dim tensor_split tile topk
    transpose transpose_copy tril triu unbind unflatten unfold unsqueeze unsqueeze_copy view view_as view_copy vsplit
    vstack channel_shuffle bucketize searchsorted argsort quantile nanquantile _pad_circular _pad_enum _unsafe_index
    _unsafe_view
"""
_CREATION = """
    arange eye fill full full_like linspace logspace new_full new_ones new_zeros ones ones_like scalar_tensor
    tril_indices triu_indices zeros zeros_like one_hot vander
"""
_TYPES = "to type_as _to_copy"
_LAYERS = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d alpha_dropout avg_pool1d avg_pool2d avg_pool3d batch_norm conv1d conv2d conv3d convolution
    conv_transpose1d conv_transpose2d conv_transpose3d dropout embedding feature_alpha_dropout feature_dropout
    grid_sampler grid_sampler_2d grid_sampler_3d group_norm gru gru_cell instance_norm layer_norm
    lstm lstm_cell max_pool1d max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices
    native_group_norm native_layer_norm rms_norm rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell
    scaled_dot_product_attention upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_trilinear3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    _fused_rms_norm _native_batch_norm_legit_no_training
    _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d affine_grid_generator
"""
_FOURIER = """
    angle complex conj conj_physical fft_fft fft_fft2 fft_fftfreq fft_fftn fft_fftshift fft_hfft fft_ifft fft_ifft2
    fft_ifftn fft_ifftshift fft_ihfft fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftfreq fft_rfftn imag
    isreal polar real resolve_conj resolve_neg view_as_complex view_as_real stft istft hann_window
    hamming_window
"""
#: Operators that return a number, not a tensor.
SIZES = frozenset({"sym_size.int", "sym_numel.default"})
#: Operators that return nothing, and stop the program if an assumption does not hold.
ASSERTS = frozenset({"_assert_async", "_assert_scalar"})
#: They only state what the exporter inferred. Not run, because precision and device can differ on a worker.
IGNORED = frozenset({"_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size"})

_LISTS = (_ELEMENTWISE, _ACTIVATIONS, _REDUCTIONS, _PRODUCTS, _SHAPES, _CREATION, _TYPES, _LAYERS, _FOURIER)
#: Names of the operators of aten.
ATEN = ASSERTS | {"sym_size", "sym_numel"} | frozenset(name for names in _LISTS for name in names.split())
#: Arithmetic on sizes, by its names in Python and PyTorch.
ON_SIZES = frozenset(
    {f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "mod", "truediv", "neg", "pos")}
    | {f"_operator.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_")}
    | {f"torch.{name}" for name in ("sym_max", "sym_min", "sym_not", "sym_int", "sym_float", "sym_ite")}
    | {"math.trunc", "math.ceil", "math.floor"}
)

#: An operator that only changes autograd state, which does not exist here, and its equivalent that does not mutate.
HARMLESS = {"torch.ops.aten.detach_.default": "torch.ops.aten.detach.default"}

_RANDOM = re.compile(r"(rand.*|normal.*|bernoulli|multinomial|poisson|native_dropout|rrelu.*|exponential|geometric)")
_DECOMPOSE = "export it with torch.export.export(...).run_decompositions({}), which removes such operators"


def aten_name(target: str) -> tuple[str, str] | None:
    """Name and overload of an aten operator; ``None`` for any other function."""
    match = _ATEN.fullmatch(target)
    return (match["name"], match["overload"]) if match else None


def refusal(target: str) -> str | None:
    """Why an operator may not be called, and the remedy; ``None`` if it may."""
    if target in ON_SIZES:
        return None
    shown = repr(target)[:120]
    if target.startswith("torch.ops.higher_order."):
        return f"{shown} runs nested graphs, which is not supported; write the network without it"
    operator = aten_name(target)
    if operator is None:
        return f"{shown} is not an operator of PyTorch's aten; other libraries' and custom operators are never called"
    name, overload = operator
    if overload.startswith("prim"):
        return f"{shown} is an operator of TorchScript, not of torch.export"
    if name in ATEN and not overload.endswith("out"):
        return None
    if name.endswith("_") or overload.endswith("out"):
        return f"{shown} changes a tensor in place; {_DECOMPOSE}"
    if _RANDOM.fullmatch(name):
        return f"{shown} draws random numbers; call network.eval() before the export, or write the network without it"
    return (
        f"{shown} is not a supported operator; export it with run_decompositions({{}}) or "
        "run_decompositions(), which replace it by others"
    )
