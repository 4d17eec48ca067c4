"""Predictions, metrics, confidence intervals, operating points and calibration of a trained network."""
