"""Engine cards: error rates, operating points, an operator's own network. It must not load a network."""
