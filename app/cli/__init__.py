"""The `mien` command: `program` puts it together, `command` is what its commands share."""
