"""Earlier results, as Git and DVC know them: revisions, what they were made with, what is stale."""
