"""The report: all tested networks side by side, from saved predictions alone, without torch."""
