"""Predictions with an exported model, without torch."""
