"""Real processes: stopped by hand or killed, a run goes on with the same command."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from cases.runs import RECIPE

# long enough to be caught in the middle, also on a fast machine
LONG = (
    RECIPE.replace("epochs: 3", "epochs: 12")
    .replace("batch: 256", "batch: 64")
    .replace("checkpoint_seconds: 0", "checkpoint_seconds: 0.2")
)
DALE = [sys.executable, "-c", "from dale.cli import main; main()"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Digests and log of the run that nobody stopped."""
    from dale.recipes import start

    bench = start(LONG, tmp_path_factory.mktemp("whole") / "run")
    bench.train()
    return results(bench.run.folder)


def results(folder):
    names = ["log.jsonl", "population.json", "members/*"]
    paths = sorted(path for name in names for path in Path(folder).glob(name))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def begin(*more):
    source = Path(__file__).parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.Popen(
        [*DALE, "train", "recipe.yaml", "out", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )


def first_member(child):
    """Wait until training is under way."""
    until = time.monotonic() + 100
    while time.monotonic() < until and child.poll() is None:
        if list(Path("out/members").glob("*.safetensors")):
            return
        time.sleep(0.005)
    raise AssertionError(f"no member was made: {child.communicate()}")


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_gone_on_with(which, whole):
    Path("recipe.yaml").write_text(LONG)
    child = begin()
    try:
        first_member(child)
        child.send_signal(which)
        out, err = child.communicate(timeout=100)
    finally:
        child.kill()
    last = err.splitlines()[-1] if err else ""
    if which == signal.SIGINT:
        assert child.returncode == 130, err
        assert last.startswith("dale: stopped ")
        assert last.endswith("; go on with: dale train --resume out")
        assert out == ""
    else:
        assert child.returncode == -signal.SIGKILL
    assert results("out") != whole
    again = begin("--resume", "--quiet")
    _, err = again.communicate(timeout=100)
    assert (again.returncode, err) == (0, "next: dale evaluate out\n")
    assert results("out") == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_outside_the_loop_says_a_word(number, tmp_path):
    begun = tmp_path / "begun"
    slow = f"import time\ndef make():\n    open({str(begun)!r}, 'w').close()\n"
    (tmp_path / "slow.py").write_text(slow + "    time.sleep(60)\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"{{data: {{source: factory, function: '{tmp_path}/slow.py:make'}}, "
        "model: mlp, epochs: 1, strategies: [single]}"
    )
    command = [*DALE, "train", str(recipe), str(tmp_path / "run")]
    # a suite that runs in the background of a shell has SIGINT ignored
    heard = partial(signal.signal, number, signal.SIG_DFL)
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    )
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = said.splitlines()
    assert line.startswith("dale: stopped before a run was made; nothing was lost: ")
    assert line.endswith(f"{tmp_path}/run is made by the same command")
    assert not (tmp_path / "run").exists()
