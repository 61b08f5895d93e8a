"""A network for use elsewhere: as a file that runs without Keras, and its model card."""
