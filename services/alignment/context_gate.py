"""``context_gate``: is the context that the rule set requires there, allowed, and in force?

The check compares the manifest's context with the rule set's ``context_gate`` section. It measures nothing: each
finding names one field and tells upstream what to send. A policy is judged at the moment the sample was
captured, because that is when the permission had to hold; without ``captured_at`` its dates are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.base import Scalar
from services.contracts.findings import Finding, NotApplicable, finding_id
from services.contracts.manifest import Context, Policy
from services.rules.rule_set import RuleSet

CHECK = "context_gate"


def check_context_gate(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return one finding for each context field that is missing, not allowed, or not in force."""
    context = sample.manifest.context
    findings = [*_missing(context, rules), *_not_allowed(context, rules)]
    not_applicable: list[NotApplicable] = []
    if context.policy is not None:
        findings.extend(_policy_faults(context.policy, sample.manifest.captured_at, context.region, rules))
        if sample.manifest.captured_at is None and (context.policy.effective_from or context.policy.effective_to):
            reason = "captured_at is missing, so the policy's dates can not be judged"
            not_applicable.append(NotApplicable(check=CHECK, reason=reason))
    return CheckOutcome(findings=tuple(findings), not_applicable=tuple(not_applicable))


def _value(context: Context, field: str) -> Scalar | Policy | None:
    if field.startswith("attributes."):
        return context.attributes.get(field.removeprefix("attributes."))
    value: Scalar | Policy | None = getattr(context, field)
    return value


def _finding(kind: str, field: str, message: str, rules: RuleSet) -> Finding:
    return Finding(
        finding_id=finding_id(CHECK, kind, rules.id, place=field),
        check=CHECK,
        kind=kind,
        severity=rules.context_gate.severity,
        message=message,
        rule=rules.reference,
    )


def _missing(context: Context, rules: RuleSet) -> Iterator[Finding]:
    for field in rules.context_gate.required:
        if _value(context, field) in (None, ""):
            message = f"The context lacks {field}; send it in context.{field} as a new revision of the sample."
            yield _finding("missing", field, message, rules)


def _not_allowed(context: Context, rules: RuleSet) -> Iterator[Finding]:
    for field, allowed in sorted(rules.context_gate.allowed.items()):
        value = _value(context, field)
        shown = value.id if isinstance(value, Policy) else value
        if shown is not None and str(shown) not in allowed:
            message = f"context.{field} is {shown!r}; this project allows {', '.join(allowed)}."
            yield _finding("not_allowed", field, message, rules)


def _policy_faults(
    policy: Policy, captured_at: datetime | None, region: str | None, rules: RuleSet
) -> Iterator[Finding]:
    name = f"Policy {policy.id} version {policy.version}"
    if policy.status not in rules.context_gate.policy_statuses:
        wanted = " or ".join(rules.context_gate.policy_statuses)
        message = f"{name} is {policy.status}; the rule set asks for one that is {wanted}."
        yield _finding("policy_not_approved", "policy.status", message, rules)
    if captured_at is not None and policy.effective_to is not None and captured_at >= policy.effective_to:
        message = f"{name} ended at {policy.effective_to:%Y-%m-%d}; the sample is from {captured_at:%Y-%m-%d}."
        yield _finding("policy_expired", "policy.effective_to", message, rules)
    if captured_at is not None and policy.effective_from is not None and captured_at < policy.effective_from:
        message = f"{name} begins at {policy.effective_from:%Y-%m-%d}; the sample is from {captured_at:%Y-%m-%d}."
        yield _finding("not_yet_effective", "policy.effective_from", message, rules)
    if policy.regions and region is not None and region not in policy.regions:
        message = f"{name} covers {', '.join(policy.regions)}; the sample is from region {region}."
        yield _finding("conflicts_with_sample", "policy.regions", message, rules)
