"""`mien witness`: stores the checkpoints of a log and checks later ones against them. It must trust no answer."""
