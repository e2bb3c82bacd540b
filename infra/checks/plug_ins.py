"""Checks of the user's own: functions that installed packages offer under an entry point.

A plug-in is code of somebody else. Whatever it does wrong, short of ending the process, becomes a ``not_applicable``
with its name, its package and what happened: never a pass, and never the end of the run.
"""

from __future__ import annotations

import functools
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.alignment.engine import CHECKS, Check
from services.alignment.sample import AudioData, CheckOutcome, CheckSample
from services.contracts.findings import Finding, NotApplicable
from services.rules.rule_set import RuleSet

GROUP = "concord.checks"
FAILED = "plug-in "
"""How the reason begins where a plug-in could not judge a sample because of a fault of its own."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_MAX_REASON = 2_000


def installed_checks() -> Mapping[str, Check]:
    """Return the product's checks and those of installed plug-ins, by id.

    A plug-in that can not be loaded is among them: it says so for every sample.
    """
    return {**CHECKS, **_plug_ins(tuple(sys.path))}


@functools.lru_cache(maxsize=8)
def _plug_ins(_path: tuple[str, ...]) -> Mapping[str, Check]:
    # What is installed follows from the path alone, and looking for it takes longer than many a check.
    offered: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry in entry_points(group=GROUP):
        if all(_origin(entry) != _origin(other) for other in offered[entry.name]):
            offered[entry.name].append(entry)
    found: dict[str, Check] = {}
    for name, entries in sorted(offered.items()):
        origin = " and ".join(sorted(_origin(entry) for entry in entries))
        if not _NAME.fullmatch(name):
            found[f"plug_in:{name}"] = _broken(
                f"plug_in:{name}"[:200], origin, "its name must be lower-case letters, digits and _"
            )
        elif name in CHECKS or name in RuleSet.model_fields:
            found[f"plug_in:{name}"] = _broken(
                f"plug_in:{name}", origin, "a part of the product has this name; choose another"
            )
        elif len(entries) > 1:
            found[name] = _broken(name, origin, "more than one package offers it; remove all but one")
        else:
            found[name] = _loaded(name, entries[0])
    return found


def _origin(entry: EntryPoint) -> str:
    package = f"{entry.dist.name} {entry.dist.version}, " if entry.dist is not None else ""
    return f"{package}{entry.value}"


def _loaded(name: str, entry: EntryPoint) -> Check:
    origin = _origin(entry)
    try:
        function = entry.load()
    except (Exception, SystemExit) as error:
        return _broken(name, origin, f"it could not be loaded: {_told(error)}")
    if not callable(function):
        return _broken(name, origin, f"it is a {type(function).__name__} and no function of (sample, rules)")

    @functools.wraps(function, updated=())
    def check(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
        settings = (rules.plug_ins or {}).get(name, {})
        if settings.get("enabled") is False:
            return CheckOutcome(not_applicable=(NotApplicable(check=name, reason="the rule set disables this check"),))
        try:
            outcome = function(_read_only(sample), rules)
            fault = _fault_of(outcome, name, rules)
        except (Exception, SystemExit) as error:
            return _failed(name, origin, f"it failed: {_told(error)}")
        return outcome if fault is None else _failed(name, origin, fault)

    return check


def _broken(name: str, origin: str, what: str) -> Check:
    def check(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
        """Say why the plug-in can not be run."""
        del sample, rules
        return _failed(name, origin, what)

    return check


def _failed(name: str, origin: str, what: str) -> CheckOutcome:
    reason = f"{FAILED}{name} ({origin}): {what}"
    printable = "".join(letter if letter.isprintable() else " " for letter in reason)
    return CheckOutcome(not_applicable=(NotApplicable(check=name, reason=printable[:_MAX_REASON]),))


def _told(error: BaseException) -> str:
    try:
        sentence = str(error)
    except Exception:
        sentence = "an error that can not be told"
    return f"{type(error).__name__}: {sentence}" if sentence else type(error).__name__


def _fault_of(outcome: Any, name: str, rules: RuleSet) -> str | None:
    """Return what is wrong with an answer, None if nothing is."""
    if not isinstance(outcome, CheckOutcome):
        return f"it returned a {type(outcome).__name__}; return a CheckOutcome"
    findings: tuple[Any, ...] = (*outcome.findings, *outcome.folded)
    missing: tuple[Any, ...] = outcome.not_applicable
    for finding in findings:
        if not isinstance(finding, Finding):
            return f"it returned a {type(finding).__name__} among its findings; make them Finding"
        if finding.check != name:
            return f"it returned a finding of the check {finding.check!r}; its own id is {name!r}"
        if finding.rule != rules.reference:
            return "it returned a finding with another rule set; give it rule=rules.reference"
    for item in missing:
        if not isinstance(item, NotApplicable) or item.check != name:
            return f"it returned a not_applicable that is not its own; make it NotApplicable(check={name!r}, …)"
    return None


def _read_only(sample: CheckSample) -> CheckSample:
    """Return the sample with arrays that can not be written to: what one check does must not reach another."""
    audio = {name: AudioData(_frozen(item.samples), item.rate_hz) for name, item in sample.audio.items()}
    return replace(sample, audio=audio, clouds_m={name: _frozen(cloud) for name, cloud in sample.clouds_m.items()})


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    view = array.view()
    view.flags.writeable = False
    return view
