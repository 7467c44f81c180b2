"""From a probe to a decision, and the person's own list of every comparison."""
