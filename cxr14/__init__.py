"""What the numbered stages share: data, networks, losses, the one training loop, and the statistics."""
