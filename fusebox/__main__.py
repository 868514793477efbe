"""The script ``fusebox``, and ``python -m fusebox``: a Ctrl-C while the shell still loads is one like any other."""

import sys

_SIGINT = 130


def main() -> int:
    """Load the shell and run the command line."""
    try:
        from fusebox import cli  # here, because it takes a while
    except KeyboardInterrupt:
        return _SIGINT
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
