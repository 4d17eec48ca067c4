"""The report: every tested network side by side, from the files of predictions alone, without torch."""
