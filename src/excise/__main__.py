"""`python -m excise` is the command `excise`."""

from excise.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
