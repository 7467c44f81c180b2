"""`python -m app` is the `mien` command."""

from app.cli.program import main

if __name__ == "__main__":
    main()
