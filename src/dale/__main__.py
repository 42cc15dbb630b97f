"""``python -m dale`` is ``dale``, also for launchers such as torchrun."""

from dale.cli import main

if __name__ == "__main__":
    main()
