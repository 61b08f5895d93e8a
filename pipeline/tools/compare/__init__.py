"""Is one model better than another, worse, or the same within noise? Likewise for two recipes."""
