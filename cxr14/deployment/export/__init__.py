"""From a checkpoint to an ONNX file that takes gray pixels, its model card, and the proof that they agree."""
