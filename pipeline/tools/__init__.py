"""What people and CI run around the pipeline. A large tool has a folder of its own.

``command_line`` and ``page`` are what they share. ``python -m pipeline`` lists the commands.
"""
