"""Importing this module adds every verb to the command line."""

from dale.cli import calibrate as calibrate
from dale.cli import demo as demo
from dale.cli import diagnose as diagnose
from dale.cli import ensemble as ensemble
from dale.cli import evaluate as evaluate
from dale.cli import merge as merge
from dale.cli import plan as plan
from dale.cli import predict as predict
from dale.cli import range as range
from dale.cli import report as report
from dale.cli import show as show
from dale.cli import train as train
from dale.cli import verify as verify
