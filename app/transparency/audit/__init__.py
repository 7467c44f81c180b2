"""`mien verify-log`: checks the whole log against the stores. It must change nothing."""
