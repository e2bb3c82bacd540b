import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from infra.telemetry.logging import configure_logging, log_context, mask


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(level="INFO", form="json", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_inside_a_context_carry_its_ids(lines: io.StringIO) -> None:
    log = structlog.get_logger("test")
    with log_context(project="p", sample_id="s-1", workflow_id="sample/p/1/s-1"):
        log.info("checked", findings=2)
        logging.getLogger("library").warning("took %s s", 3)
    log.info("outside")
    first, second, third = _records(lines)
    assert first["sample_id"] == second["sample_id"] == "s-1"
    assert first["workflow_id"] == "sample/p/1/s-1"
    assert first["findings"] == 2
    assert second["event"] == "took 3 s"
    assert "sample_id" not in third


def test_secrets_and_payloads_are_never_written(lines: io.StringIO) -> None:
    secret = "ck_" + "a" * 43
    log = structlog.get_logger("test")
    log.info(
        "started",
        database_url="postgresql://concord:geheim@127.0.0.1:5432/concord",
        bootstrap_key="hunter2",
        settings={"nats_password": "hunter2", "note": f"Authorization: Bearer {secret}"},
        manifest={"patient": "hunter2"},
        error=ValueError(f"bad key {secret}"),
    )
    try:
        raise RuntimeError("can not reach nats://u:geheim@host:4222")
    except RuntimeError:
        log.exception("failed")
    logging.getLogger("library").error("connect to postgresql://u:geheim@host/db")
    text = lines.getvalue()
    assert "geheim" not in text
    assert "hunter2" not in text
    assert secret not in text
    assert "can not reach" in text


def test_debug_lines_are_left_out_at_info(lines: io.StringIO) -> None:
    structlog.get_logger("test").debug("noise")
    assert lines.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p%40ss@h/d", "postgresql://u:[hidden]@h/d"),
        ("nats://u:secret@h:4222 and more", "nats://u:[hidden]@h:4222 and more"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("ck_abcdefghijklmnop", "ck_[hidden]"),
    ],
)
def test_mask_hides_passwords_only(text: str, expected: str) -> None:
    assert mask(text) == expected
