"""Benchmarks against other libraries; run one from a checkout: ``python -m experiments.benchmarks PART``."""
