"""Files of two gigabytes, devices and pipes: refused by a sentence, in little memory and without waiting."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.cli.main import app

SIZE = 2 << 30
MEMORY = 3 << 29
"""Bytes of address space, of which numpy's threads and the libraries take half: less than the file, less than twice."""

_TIMING = b"WEBVTT\n\n00:01.000 --> 00:02.000\nhi\n"
_COCO = b'{"images":[{"id":1,"file_name":"a.jpg"}],"annotations":[{"image_id":1,"category_id":2,"bbox":[1,2,3,4]}'
LABELS = {
    "coco.json": (_COCO, "has 2147483648 bytes; at most 536870912 are read"),
    "manifest.json": (b'{"format": "concord.sample/1", ', "has 2147483648 bytes; at most 67108864 are read"),
    "any.json": (b'{"a": ', "has 2147483648 bytes; at most 67108864 are read"),
    "cvat.xml": (b"<annotations><version>1.1</version>", "has 2147483648 bytes; at most 536870912 are read"),
    "call.vtt": (_TIMING, "has 2147483648 bytes; at most 536870912 are read"),
    "call.TextGrid": (b'File type = "ooTextFile"\nObject class = "TextGrid"\n', "has 2147483648 bytes; at most"),
    "notes.txt": (b"", "is neither a sample manifest"),
    "sound.wav": (b"RIFF\xf8\xff\xff\x7fWAVEfmt ", "is neither a sample manifest"),
}


def sparse(path: Path, head: bytes) -> Path:
    with path.open("wb") as file:
        file.write(head)
        file.truncate(SIZE)
    return path


def _little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def check_in_little_memory(path: Path) -> tuple[int, dict[str, Any], str]:
    """Run the command in a process that may not have the file in memory; (exit code, document, standard error)."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "check", str(path), "--format", "json"],
        capture_output=True,
        check=False,
        timeout=240,
        preexec_fn=_little_memory,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
    )
    return done.returncode, json.loads(done.stdout), done.stderr.decode()


def test_label_files_of_two_gigabytes_are_refused_in_little_memory(tmp_path: Path) -> None:
    for name, (head, _) in LABELS.items():
        sparse(tmp_path / name, head)
    folder = tmp_path / "all"
    folder.mkdir()
    for name in LABELS:
        (folder / name).symlink_to(tmp_path / name)
    code, told, _ = check_in_little_memory(folder)
    assert code == 2
    sentences = {Path(one["path"]).name: one["detail"] for one in told["errors"]}
    # Of a folder only what looks like labels is read; what does not is none of our business.
    labels = [name for name in LABELS if name not in ("any.json", "notes.txt", "sound.wav")]
    assert sorted(sentences) == sorted(labels)
    for name in labels:
        assert LABELS[name][1] in sentences[name]


@pytest.mark.parametrize("name", LABELS)
def test_a_file_of_two_gigabytes_is_refused_by_a_sentence(tmp_path: Path, name: str) -> None:
    head, says = LABELS[name]
    result = CliRunner().invoke(app, ["check", str(sparse(tmp_path / name, head)), "--format", "json"])
    (error,) = json.loads(result.stdout)["errors"]
    assert (result.exit_code, says in error["detail"]) == (2, True), error


def _wav_head(path: Path) -> bytes:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.setnframes((SIZE - 44) // 2)
    return path.read_bytes()


def test_assets_of_two_gigabytes_are_findings_in_little_memory(tmp_path: Path) -> None:
    heads = {
        "audio": _wav_head(tmp_path / "head.wav"),
        "image": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        "lidar": b"# .PCD v0.7\n",
        "radar": b"",
        "text": b"hello",
        "video": b"\x00\x00\x00 ftypisom",
    }
    streams = []
    for modality, head in heads.items():
        sparse(tmp_path / modality, head)
        streams.append({"id": modality, "modality": modality, "uri": modality})
    labels = [{"format": "coco", "uri": "image", "stream": "image"}]
    document = {"format": "concord.sample/1", "sample_id": "s", "project": "p", "streams": streams}
    (tmp_path / "s.json").write_text(json.dumps(document), encoding="utf-8")
    code, told, _ = check_in_little_memory(tmp_path / "s.json")
    found = {one["streams"][0]: one for one in told["samples"][0]["findings"]}
    # A video is not decoded: it is hashed piece by piece.
    assert (code, sorted(found)) == (1, sorted(set(heads) - {"video"}))
    for one in found.values():
        assert one["kind"] == "asset_unreadable"
        assert "has 2147483648 bytes; at most" in one["message"]
    document |= {"streams": [{"id": "image", "modality": "image"}], "label_files": labels}
    (tmp_path / "s.json").write_text(json.dumps(document), encoding="utf-8")
    code, told, _ = check_in_little_memory(tmp_path / "s.json")
    assert (code, told["samples"]) == (2, [])
    assert "has 2147483648 bytes; at most 536870912 are read" in told["errors"][0]["detail"]


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, " ".join(result.stderr.split())


@pytest.mark.timeout(60)
def test_devices_and_pipes_are_refused_without_waiting_for_their_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    (tmp_path / "link.json").symlink_to("/dev/zero")
    for path, kind in ((Path("/dev/zero"), "a device"), (pipe, "a pipe"), (tmp_path / "link.json", "a device")):
        code, said = invoke("check", str(path))
        assert code == 2
        assert f"is {kind}, which is not read; give a regular file" in said
        code, said = invoke("check", str(tmp_path / "nothing.json"), "--rules", str(path))
        assert code == 2
        assert f"is {kind}, which is not read" in said
    code, said = invoke("check", str(tmp_path))
    assert (code, "holds no sample" in said) == (2, True)


@pytest.mark.timeout(60)
def test_rules_that_stand_on_a_device_or_on_a_name_that_no_file_has_are_refused(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    for base, says in (("/dev/zero", "is a device"), ("x" * 300, "is neither a file"), (".", "is a folder")):
        rules.write_text(json.dumps({"id": "r", "version": 1, "extends": base}), encoding="utf-8")
        code, said = invoke("check", str(tmp_path), "--rules", str(rules))
        assert (code, says in said) == (2, True), said


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    code, said = invoke("check", str(tmp_path / ("x" * 300)))
    assert (code, "File name too long" in said) == (2, True)


@pytest.mark.timeout(60)
def test_an_asset_that_is_a_device_or_a_pipe_is_a_finding(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    streams = [
        {"id": "a", "modality": "audio", "uri": "pipe.wav"},
        {"id": "b", "modality": "image", "uri": "zero.png"},
        {"id": "c", "modality": "video", "uri": "pipe.wav"},
    ]
    document = {"format": "concord.sample/1", "sample_id": "s", "project": "p", "streams": streams}
    (tmp_path / "s.json").write_text(json.dumps(document), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "s.json"), "--format", "json"])
    findings = json.loads(result.stdout)["samples"][0]["findings"]
    assert {one["streams"][0]: one["kind"] for one in findings} == dict.fromkeys("abc", "asset_unreadable")
