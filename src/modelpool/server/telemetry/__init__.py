"""What a running server tells of itself: health, metrics, logs, traces."""
