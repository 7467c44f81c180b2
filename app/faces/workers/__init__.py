"""Engine worker processes: queue, supervisor, sandbox, image decoding. They must have no database, keys or network."""
