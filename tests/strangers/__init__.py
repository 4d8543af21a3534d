"""What strangers write: experiments of parts that the package does not know, each as a user would.

Each module has an ``EXPERIMENT``, the ``BAR`` that its headline must beat, which is what no model at all reaches (the
mean, or the most frequent class), and a few inputs to ``ASK``.
"""
