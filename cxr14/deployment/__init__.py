"""A trained network leaves the laboratory: one ONNX file with its card, and predictions without torch."""
