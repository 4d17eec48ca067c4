"""Heat maps of a trained network, drawn on radiographs and scored against boxes of findings."""
