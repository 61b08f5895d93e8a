"""Run the stages of a DVC pipeline several at once, with the results of `dvc repro`."""
