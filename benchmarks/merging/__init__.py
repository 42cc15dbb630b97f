"""The parts of `benchmarks/merge_vs_mergekit.py`."""
