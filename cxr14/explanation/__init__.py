"""Heat maps of a network, drawn on radiographs and scored against boxes."""
