"""The report: all tested networks side by side, without torch."""
