"""One training loop for stages 1 to 6: the loss decides whether it trains on labels or distils a teacher."""
