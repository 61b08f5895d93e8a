"""The results of the studies: their tables, summaries and pictures."""
