"""The parts of the Fashion-MNIST benchmark."""
