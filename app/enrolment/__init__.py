"""From a permit and a person's own photos to one sealed reference for each grant."""
