"""Parts of the benchmark of calibration under drift."""
