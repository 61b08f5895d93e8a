"""What people and CI run around the pipeline, a large tool in a folder of its own.

``command_line`` and ``page`` are what they share. ``python -m pipeline`` lists them.
"""
