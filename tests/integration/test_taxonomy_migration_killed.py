"""The same as ``concord bench taxonomy-migration``, with few samples: real workflow, real worker, real SIGKILL."""

import pytest

from infra.bench.taxonomy.prove import prove_migration
from infra.stack.directory import StackUrls

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


async def test_killed_worker_leaves_a_migration_that_goes_on_and_does_nothing_twice(
    stack_urls: StackUrls, database_url: str
) -> None:
    proof = await prove_migration(database_url, stack_urls.temporal_address, 60, undecided_every=10, kill_after=0.0)
    assert proof.done == proof.preview
    assert (proof.migrated, proof.reopened) == (proof.preview.migrated, proof.preview.reopened)
    assert proof.reopened == 6
    assert (proof.twice, proof.faults) == (0, 0)
    assert proof.old_export_sha256[0] == proof.old_export_sha256[1]
    assert proof.holds
