"""``python -m modelpool`` is ``modelpool``."""

from modelpool.server.cli import main

if __name__ == "__main__":
    main()
