from __future__ import annotations

from pathlib import Path

import pytest

from infra.bench.kill import VICTIMS, kill_campaign

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


async def test_nothing_acknowledged_is_lost_when_every_process_is_killed_once(tmp_path: Path) -> None:
    report = await kill_campaign(tmp_path, samples=13)

    assert [kill.process for kill in report.kills] == list(VICTIMS)
    assert [proof for proof in report.proofs if not proof.holds] == []
    assert report.demo.committed + report.demo.rejected == 13
