"""One training loop for stages 1 to 6; the loss decides what is trained."""
