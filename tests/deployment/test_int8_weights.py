"""Weights as 8-bit integers are near the weights, with a scale for each output."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from cxr14.deployment.export.int8_weights import best_scales, quantise_weights


def test_best_scales_have_less_error_than_the_largest_weight_gives():
    weight = np.random.default_rng(0).laplace(size=(2, 50_000)).astype(np.float32)
    weight[0] = 0
    scales = best_scales(weight, axis=0)
    assert scales.shape == (2, 1) and (scales > 0).all()

    def error(scale):
        return np.square(np.clip(np.rint(weight / scale), -127, 127) * scale - weight).sum(axis=1)

    largest = np.maximum(np.abs(weight).max(axis=1, keepdims=True) / 127, 1e-30)
    assert (error(scales) <= 1.0001 * error(largest)).all()
    assert error(scales)[1] < 0.9 * error(largest)[1]


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
def test_matrix_products_are_quantised_by_output(kind):
    weight = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    weight *= np.linspace(0.01, 1, 30, dtype=np.float32)  # outputs of different size need their own scales
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"])],
        "g",
        [value("x", 1, [1, 40])],
        [value("y", 1, [1, 30])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph)
    quantise_weights(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    restored = stored["w_int8"] * stored["w_scale"]
    assert stored["w_scale"].shape == (1, 30)
    assert ((restored - weight).std(axis=0) <= 0.01 * weight.std(axis=0)).all()
