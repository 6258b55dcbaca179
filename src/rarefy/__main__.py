"""``python -m rarefy``, the same as ``rarefy``; what torchrun needs."""

from rarefy.cli import main

if __name__ == "__main__":
    main()
