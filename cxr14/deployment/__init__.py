"""Export to ONNX with a model card, and predictions without torch."""
