"""Commands that people run around the pipeline."""
