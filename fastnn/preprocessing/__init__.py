"""What layers learn of data before training, and do to it on its way to the engine, in NumPy."""
