"""The figures of a run, as PNG files and on one page of HTML.

A figure is a function that takes data and returns a matplotlib figure.
"""
