"""What was done, signed for who it was done to and committed to in a log that only grows."""
