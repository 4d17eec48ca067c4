"""Synthetic frontal chest radiographs with any of the 14 findings."""
