"""Rights: never refused for frequency, never behind matching, no reason asked."""
