from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from infra.cli.up import _announce, up
from infra.local import LocalConcord, LocalConfig, child_environment
from infra.settings import Settings
from infra.stack.directory import StackUrls
from infra.stack.stack import EmbeddedStack
from services.errors import InvalidInputError


def concord(urls: StackUrls) -> LocalConcord:
    return LocalConcord(urls=urls, admin_key="ck_x", stack=cast("EmbeddedStack", None))


URLS = StackUrls(
    database_url="postgresql://u:secret@127.0.0.1:1/c",
    nats_url="nats://u:word@127.0.0.1:2",
    temporal_address="127.0.0.1:3",
    api_url="http://127.0.0.1:4",
)


def test_the_addresses_that_people_and_programs_need_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    _announce(concord(URLS), LocalConfig(data_dir=Path("d")), json_output=False)
    said = capsys.readouterr().out
    assert URLS.nats_url in said
    assert URLS.temporal_address in said
    assert "secret" not in said
    _announce(concord(URLS), LocalConfig(data_dir=Path("d")), json_output=True)
    line: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (line["api_url"], line["nats_url"]) == (URLS.api_url, URLS.nats_url)
    assert line["temporal_address"] == URLS.temporal_address


def test_the_password_of_a_server_that_exists_already_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _announce(concord(URLS), LocalConfig(data_dir=Path("d"), nats_url=URLS.nats_url), json_output=False)
    assert "word" not in capsys.readouterr().out


def test_hosts_of_assets_are_handed_to_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_ASSET_HOSTS", '["own.example"]')
    config = LocalConfig(data_dir=Path("d"), asset_hosts=("cdn.example", "127.0.0.1:9000"))
    hosts = Settings.model_validate(
        {"database_url": "x", "nats_url": "x", "asset_hosts": config.asset_hosts}
    ).asset_hosts
    assert json.loads(child_environment(config, URLS)["CONCORD_ASSET_HOSTS"]) == list(hosts)
    assert child_environment(LocalConfig(data_dir=Path("d")), URLS)["CONCORD_ASSET_HOSTS"] == '["own.example"]'


def test_what_is_no_host_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"--asset-host: 'https://cdn\.example' is no host"):
        up(data_dir=tmp_path / "data", asset_host=["https://cdn.example"])
    assert not (tmp_path / "data").exists()
