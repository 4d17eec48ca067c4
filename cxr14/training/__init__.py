"""Training of stages 1 to 6 in one loop; the loss decides between training on labels and distillation."""
