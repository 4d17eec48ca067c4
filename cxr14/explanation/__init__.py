"""Heat maps of a trained network, drawn on radiographs and scored against annotated boxes of findings."""
