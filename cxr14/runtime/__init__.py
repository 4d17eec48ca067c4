"""Where a network runs: device, number format, threads, and the processes that torchrun starts."""
