"""From an image and a permit to one face's features, in workers that can do nothing else."""
