"""`python -m benefits` and the `benefits` command."""

from benefits.cli import main

if __name__ == "__main__":
    main()
