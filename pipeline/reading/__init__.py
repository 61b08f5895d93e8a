"""Reading digits from people's pictures: picture, ink, pieces, the form of MNIST, verdict."""

from pipeline.reading.reader import Reader

__all__ = ["Reader"]
