import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.checks.plug_ins import FAILED, GROUP, installed_checks
from services.alignment.engine import CHECKS, run_checks
from services.alignment.sample import AudioData, CheckSample
from services.contracts.findings import CheckReport
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.cli.test_check import manifest, run, write
from tests.unit.spoken_calls import manifest_of, segment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plug-ins.md"
HEAD = """
from services.alignment.sample import CheckOutcome
from services.contracts.findings import Finding, NotApplicable, finding_id
"""


class Site:
    """A folder on the path, with packages as an installer leaves them there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, module: str, source: str, *, package: str | None = None, **entries: str) -> None:
        package = package or module
        (self.folder / f"{module}.py").write_text(source, encoding="utf-8")
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"[{GROUP}]", *(f"{name} = {module}:{value}" for name, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]


def report_of(sample: CheckSample | None = None) -> CheckReport:
    whole = manifest_of()
    sample = sample or CheckSample(whole, (segment("s1", 1.0, 2.0, "good morning"),))
    return run_checks(sample, DEFAULT_RULE_SET, installed_checks())


def reason_of(name: str, report: CheckReport) -> str:
    (reason,) = [item.reason for item in report.not_applicable if item.check == name]
    return reason


def example() -> str:
    return PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


def spoken(*texts: str) -> list[dict[str, object]]:
    return [
        {"id": f"s{n}", "type": "transcript_segment", "stream": "note", "start_s": n, "end_s": n + 0.9, "text": text}
        for n, text in enumerate(texts)
    ]


def test_the_example_of_the_page_finds_what_it_says(site: Site, tmp_path: Path) -> None:
    site.install("call_manners", example(), package="call-manners", greeting="check_greeting")
    path = write(tmp_path / "a.json", manifest(policy="approved", annotations=spoken("yes please", "thank you")))
    document = json.loads(run(path, "--json").stdout)["samples"][0]
    (finding,) = [item for item in document["findings"] if item["check"] == "greeting"]
    assert finding["kind"] == "missing"
    assert finding["annotations"] == ["s0", "s1"]
    explained = run(path, "--explain", finding["finding_id"])
    assert "Method: the first ``within_s`` seconds" in explained.stdout
    assert 'name="greeting"' in run(path, "--format", "junit").stdout


def test_the_rules_of_the_page_reach_it_also_in_a_process_of_its_own(site: Site, tmp_path: Path) -> None:
    site.install("call_manners", example(), package="call-manners", greeting="check_greeting")
    rules = json.loads(PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0])
    written = write(tmp_path / "rules.json", rules)
    folder = tmp_path / "in"
    folder.mkdir()
    for number, text in enumerate(("Good morning!", "hello")):
        write(folder / f"{number}.json", manifest(f"s-{number}", policy="approved", annotations=spoken(text)))
    document = json.loads(run(folder, "--json", "--rules", written, "--jobs", "2").stdout)
    told = [
        [item["check"] for item in sample["findings"] if item["check"] == "greeting"] for sample in document["samples"]
    ]
    assert told == [[], ["greeting"]]
    off = write(tmp_path / "off.json", {**rules, "plug_ins": {"greeting": {"enabled": False}}})
    assert "greeting" not in json.loads(run(folder, "--json", "--rules", off).stdout)["summary"]["by_check"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def check(sample, rules): raise ValueError('no such word')", "it failed: ValueError: no such word"),
        ("def check(sample, rules): raise SystemExit(3)", "it failed: SystemExit: 3"),
        ("def check(sample): return CheckOutcome()", "it failed: TypeError"),
        ("def check(sample, rules): return None", "it returned a NoneType; return a CheckOutcome"),
        ("def check(sample, rules): return CheckOutcome(findings=('x',))", "a str among its findings"),
        ("def check(sample, rules): return CheckOutcome(findings=3)", "it failed: TypeError"),
        (
            "def check(sample, rules): return CheckOutcome(not_applicable=(NotApplicable(check='b', reason=''),))",
            "not its own",
        ),
        (
            (
                "def check(sample, rules):\n"
                "    finding = Finding(finding_id='f', check='lidar_camera', kind='k', severity='minor', message='m',\n"
                "                      rule=rules.reference)\n"
                "    return CheckOutcome(findings=(finding,))"
            ),
            "a finding of the check 'lidar_camera'",
        ),
        ("check = 7", "it is a int and no function"),
        ("import nothing_of_this_name", "it could not be loaded: ModuleNotFoundError"),
        ("def check(sample, rules:", "it could not be loaded: SyntaxError"),
        ("raise SystemExit", "it could not be loaded: SystemExit"),
        ("other = 1", "it could not be loaded: AttributeError"),
    ],
)
def test_a_failing_plug_in_is_named_and_the_others_go_on(site: Site, body: str, told: str) -> None:
    site.install("faulty", f"{HEAD}\n{body}\n", greeting="check")
    site.install("call_manners", example(), polite="check_greeting")
    report = report_of()
    reason = reason_of("greeting", report)
    assert reason.startswith(f"{FAILED}greeting (faulty 1.0, faulty:check): ")
    assert told in reason
    assert {item.check for item in report.not_applicable} >= {"greeting", "lidar_camera"}
    assert "polite" in reason_of("polite", report)


def test_names_that_are_taken_or_no_names_are_refused(site: Site) -> None:
    site.install("taken", example(), lidar_camera="check_greeting", routing="check_greeting", Shout="check_greeting")
    report = report_of()
    for name in ("lidar_camera", "routing"):
        assert "has this name" in reason_of(f"plug_in:{name}", report)
    assert "lower-case" in reason_of("plug_in:Shout", report)
    assert installed_checks()["lidar_camera"] is CHECKS["lidar_camera"]


def test_two_packages_with_one_name_are_both_named(site: Site) -> None:
    site.install("one", example(), greeting="check_greeting")
    site.install("two", example(), greeting="check_greeting")
    reason = reason_of("greeting", report_of())
    assert "one 1.0" in reason
    assert "two 1.0" in reason


def test_a_plug_in_can_not_change_what_others_see(site: Site) -> None:
    site.install(
        "writer", f"{HEAD}\ndef check(sample, rules):\n    sample.audio['audio'].samples[0] = 9\n", writer="check"
    )
    samples = np.zeros(8_000, dtype=np.float32)
    report = report_of(CheckSample(manifest_of(), (), {"audio": AudioData(samples, 8_000)}))
    assert "read-only" in reason_of("writer", report)
    assert samples[0] == 0
    assert samples.flags.writeable


def test_the_command_warns_once_of_a_failing_plug_in(site: Site, tmp_path: Path) -> None:
    site.install("faulty", f"{HEAD}\ndef check(sample, rules): raise ValueError('broken')\n", greeting="check")
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        write(folder / f"{number}.json", manifest(f"s-{number}", policy="approved"))
    result = run(folder)
    assert result.exit_code == 0
    assert result.stderr.count("plug-in greeting (faulty 1.0, faulty:check): it failed: ValueError: broken") == 1


def test_without_plug_ins_there_are_the_product_s_checks() -> None:
    assert installed_checks() == CHECKS
