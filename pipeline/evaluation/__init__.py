"""Metrics of predictions: what is right, how sure it is, and what to leave to people.

Nothing here needs Keras.
"""
