"""Ids of changes to running workflows, one constant each, never reused.

A change that alters what a workflow asks of Temporal goes behind ``workflow.patched(<id>)``; once no workflow from
before it runs any more it becomes ``workflow.deprecate_patch(<id>)``, and goes in the release after that.
There is none yet.
"""

ALL: frozenset[str] = frozenset()
"""Every id in use."""
