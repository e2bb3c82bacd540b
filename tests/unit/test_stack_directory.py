import asyncio
import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from infra.stack.directory import (
    DataDirectory,
    StackState,
    StackUrls,
    is_port_free,
    read_secrets,
    read_stack,
    read_stack_state,
)
from infra.stack.errors import DataDirectoryError, PortInUseError, StackAlreadyRunningError, StackNotRunningError

URLS = StackUrls(
    database_url="postgresql://concord:secret-1@127.0.0.1:1/concord",
    nats_url="nats://concord:secret-2@127.0.0.1:2",
    temporal_address="127.0.0.1:3",
    api_url="http://127.0.0.1:4",
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_directory_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path / "deep" / "data")
    directory.secrets(has_data=False)
    directory.ports(["api"])
    assert mode(directory.path) == 0o700
    assert {mode(file) for file in directory.path.iterdir()} == {0o600}
    directory.close()


def test_second_start_on_the_same_directory_is_refused_in_one_sentence(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    with pytest.raises(StackAlreadyRunningError) as refusal:
        DataDirectory.open(tmp_path)
    assert str(refusal.value) == (
        f"Concord already runs on {tmp_path} (process {os.getpid()}): stop it there or choose another data directory."
    )
    directory.close()
    DataDirectory.open(tmp_path).close()


def test_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(DataDirectoryError, match="holds other things"):
        DataDirectory.open(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(DataDirectoryError, match="belongs to user 12345 and this is user 0"):
        DataDirectory.open(tmp_path)


def test_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match="can not be used"):
        DataDirectory.open(tmp_path / "file")


def test_secrets_are_made_once_and_differ_between_directories(tmp_path: Path) -> None:
    one, other = (DataDirectory.open(tmp_path / name) for name in ("one", "other"))
    made = one.secrets(has_data=False)
    assert one.secrets(has_data=True) == made == read_secrets(one.path)
    assert other.secrets(has_data=False) != made
    values = json.loads((one.path / "secrets.json").read_text()).values()
    assert len(set(values)) == 4
    assert all(len(value) == 43 and value not in repr(made) for value in values)
    one.close()
    other.close()


def test_secrets_that_others_can_read_are_closed_again(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    directory.secrets(has_data=False)
    (tmp_path / "secrets.json").chmod(0o644)
    directory.secrets(has_data=True)
    assert mode(tmp_path / "secrets.json") == 0o600
    directory.close()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"nats_password": "x"}', "\x00"])
def test_damaged_secrets_are_refused(tmp_path: Path, damage: str) -> None:
    directory = DataDirectory.open(tmp_path)
    (tmp_path / "secrets.json").write_text(damage)
    with pytest.raises(DataDirectoryError, match="is damaged"):
        directory.secrets(has_data=True)
    directory.close()


def test_lost_secrets_are_not_replaced_when_there_is_data(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    with pytest.raises(DataDirectoryError, match="is missing although"):
        directory.secrets(has_data=True)
    directory.close()
    with pytest.raises(DataDirectoryError, match="can not be read"):
        read_secrets(tmp_path)


def test_ports_are_kept_from_start_to_start(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    chosen = directory.ports(["postgres", "api"])
    assert len(set(chosen.values())) == 2
    assert directory.ports(["api", "postgres", "nats"]).items() >= chosen.items()
    directory.close()


def test_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    before = directory.ports(["postgres", "api"])
    with socket.create_server(("127.0.0.1", before["api"])):
        assert not is_port_free(before["api"])
        after = directory.ports(["postgres", "api"])
    assert after["postgres"] == before["postgres"]
    assert after["api"] not in before.values()
    directory.close()


@pytest.mark.parametrize("damage", ["", "[]", '{"api": "x"}', '{"api": null}', '{"api": -1}', '{"api": 99999999}'])
def test_damaged_ports_are_chosen_anew(tmp_path: Path, damage: str) -> None:
    directory = DataDirectory.open(tmp_path)
    (tmp_path / "ports.json").write_text(damage)
    assert is_port_free(directory.ports(["api"])["api"])
    directory.close()


def test_wanted_port_is_used_or_refused(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        wanted = server.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"Port {wanted} for api is in use"):
            directory.ports(["api"], {"api": wanted})
    assert directory.ports(["api"], {"api": wanted}) == {"api": wanted}
    directory.close()


def test_running_stack_is_found_by_its_directory(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    with pytest.raises(StackNotRunningError):
        read_stack(tmp_path)
    state = StackState(urls=URLS, supervisor_pid=os.getpid(), pids={"nats": 7})
    directory.publish(state)
    assert read_stack_state(tmp_path) == state
    assert read_stack(tmp_path) == URLS
    assert mode(tmp_path / "stack.json") == 0o600
    directory.close()
    with pytest.raises(StackNotRunningError, match=f"No Concord runs on {tmp_path}"):
        read_stack(tmp_path)


def test_note_of_a_killed_stack_is_not_believed(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    directory.publish(StackState(urls=URLS, supervisor_pid=1, pids={}))
    note = (tmp_path / "stack.json").read_text()
    directory.close()
    (tmp_path / "stack.json").write_text(note)
    with pytest.raises(StackNotRunningError):
        read_stack(tmp_path)
    again = DataDirectory.open(tmp_path)
    with pytest.raises(StackNotRunningError):
        read_stack(tmp_path)
    again.close()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"urls": 3}', '{"urls": {}, "supervisor_pid": 1, "pids": {}}'])
def test_damaged_note_reads_as_no_stack(tmp_path: Path, damage: str) -> None:
    directory = DataDirectory.open(tmp_path)
    (tmp_path / "stack.json").write_text(damage)
    with pytest.raises(StackNotRunningError):
        read_stack(tmp_path)
    directory.close()


def test_urls_with_passwords_are_not_shown() -> None:
    assert "secret" not in repr(URLS)


async def test_orphan_of_a_killed_supervisor_is_ended_before_a_new_start(tmp_path: Path) -> None:
    first = DataDirectory.open(tmp_path)
    await first.wait_for_orphans()
    orphan = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import signal; signal.pause()", pass_fds=[first.children_lock], start_new_session=True
    )
    first.close()
    second = DataDirectory.open(tmp_path)
    await second.wait_for_orphans(patience_s=0.1)
    assert await orphan.wait() == -9
    second.close()
