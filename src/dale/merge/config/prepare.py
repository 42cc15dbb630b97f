"""A configuration made ready: every job, every file, and everything that is wrong."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dale.errors import InputError, nearest
from dale.merge.carried import CONFIG, carried
from dale.merge.config.assemble import Assembler
from dale.merge.config.donor import as_bytes, check_depths, edited
from dale.merge.config.findings import Findings
from dale.merge.config.pieces import Section, sections
from dale.merge.config.reference import Opened
from dale.merge.config.schema import MergeConfig
from dale.merge.config.shelf import Shelf, references
from dale.merge.config.slots import Slotter
from dale.merge.config.taking import refusal
from dale.merge.config.vocabulary import Words, aligned
from dale.merge.job import Job
from dale.merge.moments import STATISTICS
from dale.merge.table import METHODS
from dale.merge.tokens.chat import check_template, template_of

COPY = "mergekit_config.yml"
"""The configuration itself, in the result, as mergekit keeps it."""


@dataclass(frozen=True)
class Prepared:
    """A merge that is ready, or what keeps it from being so.

    Attributes:
        config: The configuration.
        jobs: One for every tensor of the result.
        files: More files of the result.
        models: Every model, in the order in which they were named.
        donor: Gives config and tokenizer.
        labels: Names of the models, by the identity of the weights in the jobs.
        problems: One line for each; the merge cannot run if there are any.
        notes: One line for each thing that is done otherwise than one might think.
    """

    config: MergeConfig
    jobs: Sequence[Job]
    files: Mapping[str, bytes]
    models: Sequence[Opened]
    donor: Opened | None
    labels: Mapping[int, str]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def prepare(
    config: MergeConfig, near: Path, text: str = "", read: bool = False
) -> Prepared:
    """Read the headers of every model, and work out every tensor of the result.

    Args:
        config: The configuration.
        near: Its folder, in which relative paths may begin.
        text: Its text, to be kept beside the result.
        read: Compare heads of language models with their embeddings, where their
            configurations do not say which they are. No other tensor is read.

    Returns:
        Jobs, files, problems and notes.
    """
    findings = Findings()
    shelf = Shelf(near, findings)
    if not _known(config.merge_method, findings):
        for reference in references(config):
            shelf(reference)
        return Prepared(config, [], {}, shelf.models, None, {}, findings.problems, ())
    parts = sections(config, shelf, findings)
    for model in shelf.models:
        check_depths(model, findings)
    donor = _donor(config, shelf, parts)
    files: dict[str, bytes] = {}
    jobs: list[Job] = []
    labels: dict[int, str] = {}
    if donor is not None:
        slotter = Slotter(parts, findings, read)
        base = None if config.base_model is None else shelf(config.base_model)
        words = aligned(config, shelf, base, findings)
        merged = [one for one in shelf.models if id(one) in words.weights]
        labels = {id(words.weights[id(one)]): one.name for one in merged}
        jobs = Assembler(config, words, findings).jobs(slotter.slots)
        mixed = (job.settings["shares"] for job in jobs if job.method in STATISTICS)
        if any(len(shares) > 1 for shares in mixed):
            findings.note(
                "running statistics are mixed from those of the models; measure them "
                "again where there are data, with dale.merge.refresh"
            )
        with findings.catching():
            files |= _files(donor, shelf, words, findings)
        if CONFIG in files:
            given = json.loads(files[CONFIG])
            made = edited(given, slotter.lengths, jobs, slotter.tied, findings)
            files[CONFIG] = as_bytes(made)
    if text:
        files[COPY] = text.encode()
    if not jobs and not findings.problems:
        findings.problem("the result has no tensors")
    found = findings.problems, findings.notes
    return Prepared(config, jobs, files, shelf.models, donor, labels, *found)


def _files(
    donor: Opened, shelf: Shelf, words: Words, findings: Findings
) -> dict[str, bytes]:
    """What lies beside the donor's weights, with the tokenizer of the result."""
    folders = [m.folder for m in shelf.models if m.folder is not None]
    if donor.folder is None:
        return {}
    position = folders.index(donor.folder)
    vocabulary, template = words.vocabulary, words.template
    found = carried(folders, position, vocabulary=vocabulary, template=template)
    for note in found.notes:
        findings.note(note)
    if template is None:
        owner = folders[position if vocabulary is None else vocabulary.donor]
        try:
            if (text := template_of(owner)) is not None:
                check_template(text)
        except InputError as error:
            findings.note(f"chat template of {owner}, carried as it is: {error}")
    return found.files


def _known(method: str, findings: Findings) -> bool:
    if method not in METHODS:
        known = [name for name in METHODS if refusal(name) is None]
        hint = nearest(method, known)
        findings.problem(f"unknown merge_method {method!r}; {hint}")
        return False
    why = refusal(method)
    if why is not None:
        findings.problem(why)
    return why is None


def _donor(
    config: MergeConfig, shelf: Shelf, parts: Sequence[Section]
) -> Opened | None:
    """The base, or the first model named; None if nothing could be opened."""
    if config.base_model is not None:
        return shelf(config.base_model)
    entrants = (e for section in parts for p in section.pieces for e in p.everyone)
    return next((entrant.model for entrant in entrants), None)
