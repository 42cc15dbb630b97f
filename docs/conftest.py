"""The pages are tests; the scripts beside them need more than the tests install."""

collect_ignore_glob = ["*.py"]
