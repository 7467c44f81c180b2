"""`mien verify-log`: checks the whole transparency log against both stores. It must change nothing."""
