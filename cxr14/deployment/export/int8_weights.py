"""Weights as 8-bit integers, with float activations.

Activations stay float, so no radiographs are needed to choose their ranges.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cxr14.findings import FINDINGS

_LEVELS = 127  # symmetric: -127 to 127
_SMALLEST = 256  # numbers in a weight; fewer do not pay for their scales
# A scale below the largest weight clips that weight and serves all others better.
_CLIPPING = np.linspace(0.7, 1, 31)


def quantise_weights(model: onnx.ModelProto) -> None:
    """Store the large weights of convolutions and matrix products as int8, with a scale for each output.

    They are restored by a Cast and a Mul, which runtimes fold into a float weight when they load the file;
    DequantizeLinear they would run again for every image. Depthwise convolutions, the first convolution and
    the classifier stay float32: they are small, and the probabilities depend on them most.

    Args:
        model: an exported network; it is changed in place.
    """
    axes = _output_axes(model)
    restored = []
    for tensor in list(model.graph.initializer):
        if tensor.name not in axes:
            continue
        weight = numpy_helper.to_array(tensor)
        axis = axes[tensor.name]
        if _stays_float(weight, axis):
            continue
        scale = best_scales(weight, axis)
        integers = np.clip(np.rint(weight / scale), -_LEVELS, _LEVELS).astype(np.int8)
        stored, cast, factor = (f"{tensor.name}_{part}" for part in ("int8", "float", "scale"))
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(numpy_helper.from_array(integers, stored))
        model.graph.initializer.append(numpy_helper.from_array(scale, factor))
        restored.append(helper.make_node("Cast", [stored], [cast], to=TensorProto.FLOAT))
        restored.append(helper.make_node("Mul", [cast, factor], [tensor.name]))
    for place, node in enumerate(restored):
        model.graph.node.insert(place, node)


def best_scales(weight: np.ndarray, axis: int) -> np.ndarray:
    """Return the scale of each output whose rounded weights have the least squared error.

    Args:
        weight: float32 of any shape.
        axis: the axis of the outputs.

    Returns:
        float32, of the weight's shape with 1 on all axes but `axis`; above 0.
    """
    others = tuple(other for other in range(weight.ndim) if other != axis)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scales, errors = None, None
    for share in _CLIPPING:
        scale = np.maximum(share * largest / _LEVELS, np.finfo(np.float32).tiny).astype(np.float32)
        rounded = np.clip(np.rint(weight / scale), -_LEVELS, _LEVELS) * scale
        error = np.square(rounded - weight, dtype=np.float64).sum(axis=others, keepdims=True)
        if scales is None:
            scales, errors = scale, error
        else:
            scales, errors = np.where(error < errors, scale, scales), np.minimum(error, errors)
    return scales


def _output_axes(model: onnx.ModelProto) -> dict[str, int]:
    """Return the weights of convolutions and matrix products, and which of their axes is the outputs'."""
    axes = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            axes[node.input[1]] = 0
        elif node.op_type == "Gemm":
            transposed = any(one.name == "transB" and one.i for one in node.attribute)
            axes[node.input[1]] = 0 if transposed else 1
        elif node.op_type == "MatMul":
            axes[node.input[1]] = 1
    return axes


def _stays_float(weight: np.ndarray, axis: int) -> bool:
    if weight.ndim not in (2, 4) or weight.size < _SMALLEST:
        return True
    is_classifier = weight.shape[axis] == len(FINDINGS)
    is_first_or_depthwise = weight.ndim == 4 and weight.shape[1] in (1, 3)
    return is_classifier or is_first_or_depthwise
