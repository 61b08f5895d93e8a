"""The doctor: looks at a set-up, says what is wrong and what to do, and repairs after a kill.

A check takes a folder and returns a ``Finding``, or None where there is nothing to look at. The
docstring of each says what breaks without it.
"""
