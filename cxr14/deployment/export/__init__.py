"""Export of a checkpoint to an ONNX file with its card."""
