"""From radiographs in files to tables of findings, with an exported model and without torch."""
