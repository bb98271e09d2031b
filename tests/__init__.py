"""Tests: they mirror ``src/modelpool``; ``house/`` holds the rules of the code base, ``servers/`` real servers."""
