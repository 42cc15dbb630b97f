"""The parts of `benchmarks/strategies.py`."""
