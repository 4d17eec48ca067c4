"""The package of the numbered stages: data, networks, training, statistics."""
