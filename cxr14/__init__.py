"""What the numbered stages share: data, networks, losses, the training loop, and the statistics."""
