"""The training loop of a recipe: distorted images, epochs as compiled functions, checkpoints.

With TensorFlow or with JAX, whichever the backend is.
"""
