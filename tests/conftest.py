"""One thread, one hypothesis profile, and no trace of the caller's environment."""

import os

# before torch or numpy is imported: they read these once
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from hypothesis import settings

settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=50, database=None
)
settings.load_profile("ci")

# these make the golden numbers and need the libraries that they come from
collect_ignore_glob = ["golden/*/make.py"]
