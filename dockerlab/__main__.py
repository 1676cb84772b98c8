"""`python3 -m dockerlab`: says plainly which Python it needs, then goes on in the command line."""

# Pythons back to 3.6 come as far as this: what stands here and in __init__ must be in their syntax.
import sys

if sys.version_info < (3, 11):
    from shutil import which

    newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if which(name)]
    advice = "Run it by {}.".format(newer[0]) if newer else "Install a newer one."
    sys.exit("dockerlab needs Python 3.11 or newer, and this is {}.{}. {}".format(*sys.version_info[:2], advice))

from .console import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
