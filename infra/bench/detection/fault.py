"""A known fault, put into clean labels."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.alignment.sample import CheckSample
from services.contracts.findings import Finding
from services.rules.rule_set import RuleSet

Injected = tuple[CheckSample, frozenset[str]]
"""The changed sample, and the ids of the labels that the fault concerns; no ids where it concerns the whole sample."""

Inject = Callable[[CheckSample, np.random.Generator], Injected | None]
"""Returns None where the fault has nothing to work on."""


@dataclass(frozen=True, slots=True)
class LabelFault:
    """One way to spoil a sample.

    Attributes:
        check: The check that should notice.
        kind: The kind of finding that names the fault.
        inject: Changes one thing.
        also: Further kinds that name the same fault rightly.
        name: Tells faults of one kind apart, such as ``yaw 1 deg``.
        names: Whether a finding of the kind is about the fault in the changed sample, where ids of labels do not tell.
        once: Whether another seed makes no other trial, so that the fault goes into a sample once.
    """

    check: str
    kind: str
    inject: Inject
    also: frozenset[str] = frozenset()
    name: str = ""
    names: Callable[[Finding, CheckSample], bool] | None = None
    once: bool = False


def half_of(group: str) -> str:
    """Return ``tune`` or ``test``; fixed for a group whatever else is there."""
    return "test" if zlib.crc32(group.encode()) % 2 else "tune"


CleanSamples = Callable[[Path], Iterator[tuple[str, CheckSample]]]
"""Yields (group, sample) from a folder of recordings; a group is a sequence, file or speaker and is never split.

Yields nothing where the folder lacks the recordings it reads; raises a ConcordError where a model is not installed.
"""

RulesOf = Callable[[Path, RuleSet], RuleSet]
"""Makes the rule set of a check whose rules are made of the recordings, such as their taxonomy.

A module of this package may bring one by the name ``rules_of``.
"""
