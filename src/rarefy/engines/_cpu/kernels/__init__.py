"""Inner loops that are emitted for this machine, and the threads that run them."""
