"""Counters, gauges and histograms that are right across processes, at the cost of writing to memory."""
