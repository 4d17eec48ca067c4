"""Predictions, metrics, confidence intervals, operating points, calibration."""
