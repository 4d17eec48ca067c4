"""A network as an ONNX file."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch

from cxr14.deployment.export.int8_weights import quantise_weights
from cxr14.deployment.export.network import DeployedNetwork
from cxr14.deployment_settings import Precision

OPSET = 17
"""The operators of ONNX 1.12 of 2022, which old runtimes on small computers know as well."""


def write_onnx(
    network: DeployedNetwork, image_size: int, precision: Precision, path: Path, notes: Mapping[str, str]
) -> None:
    """Trace a network and write it.

    Args:
        network: what to write.
        image_size: S, the side of its images in pixels.
        precision: float32, or w8 for int8 weights.
        path: the file.
        notes: names and values for the file's own metadata.
    """
    names = ["gray", *network.outputs]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing is deprecated. The newer one writes paths of this machine into the file.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, image_size, image_size, dtype=torch.uint8),),
            buffer,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "radiographs"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    if precision == "w8":
        quantise_weights(model)
    for name, value in notes.items():
        model.metadata_props.add(key=name, value=value)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
