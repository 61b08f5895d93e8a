"""What is good in a set-up, what is not, and what to do about it.

A check is a function that takes the project's folder and returns a ``Finding``.
"""
