"""The `mien` command, one file per command group; it must never decide anything that a service decides."""
