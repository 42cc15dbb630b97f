"""The parts of `benchmarks/merge_ordering.py`."""
