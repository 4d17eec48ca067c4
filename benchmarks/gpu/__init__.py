"""What only a GPU can show, tried and measured in parts."""
