"""Lets `python -m lddu.cli` do what `lddu` does."""

from lddu.cli import main

if __name__ == "__main__":
    main()
