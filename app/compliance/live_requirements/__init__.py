"""Whether it is lawful to run for real people, as far as a program can tell: what `MIEN_PROFILE=live` asks for."""
