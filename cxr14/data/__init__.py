"""Radiographs and labels: from NIH's archives to uint8 batches on a device."""
