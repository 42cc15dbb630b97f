"""Small networks of one architecture trained at once, their weights stacked."""

from dale.train.stacked.choice import RECORD as RECORD
from dale.train.stacked.choice import Record as Record
from dale.train.stacked.choice import obstacle as obstacle
from dale.train.stacked.choice import outlook as outlook
from dale.train.stacked.choice import parts as parts
from dale.train.stacked.pilot import Race as Race
from dale.train.stacked.pilot import race as race
from dale.train.stacked.stack import Stack as Stack

__all__ = [
    "RECORD",
    "Race",
    "Record",
    "Stack",
    "obstacle",
    "outlook",
    "parts",
    "race",
]
