"""The other servers that ``bench_peers.py`` measures: a folder each, with exact versions and what makes it serve."""
