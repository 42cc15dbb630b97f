"""Seeds that depend on what they are for, not on when they are drawn."""

from hashlib import blake2b


def key(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, reproducible on every machine.

    Two purposes give unrelated streams, and no stream depends on what was drawn
    before it; so a run resumed in the middle draws what it would have drawn.

    Args:
        seed: The user's seed.
        purpose: Words and numbers that name the use, such as ``"order", epoch``.

    Returns:
        An integer in ``[0, 2**63)``.

    Example:
        >>> key(0, "order", 3) == key(0, "order", 3)
        True
        >>> key(0, "order", 3) == key(0, "order", 4)
        False
    """
    text = "\x1f".join([str(int(seed)), *map(repr, purpose)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
