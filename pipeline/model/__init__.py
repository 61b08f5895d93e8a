"""The network: its backend (TensorFlow or JAX), its layers, and its file on disk."""
