"""What the log says is sent once, and the log stays the truth."""

import csv
import importlib.machinery
import sys
import types
from types import SimpleNamespace

import pytest

from dale.errors import CorruptError, InputError, Interrupted, RecipeError
from dale.recipes import Workbench, start, verify
from dale.train import TRACKERS, Watcher
from dale.train.reading import parse_recipe
from dale.train.trackers import Mirror
from train.test_distributed import together

RECIPE = """
seed: 3
data: {source: digits, val: 300, test: 1200}
model: {name: mlp, hidden: [8], norm: none}
epochs: 3
batch: 75
checkpoint_seconds: 0
engine: {device: cpu}
layers: {name: discriminative, factor: 0.5}
strategies: [{name: snapshot, cycles: 2}, single]
"""


def with_(trackers):
    return f"{RECIPE}trackers: [{trackers}]\n"


def interrupted(bench, after):
    """Stop after so many updates, as by Ctrl-C."""
    steps = iter(range(after))
    with pytest.raises(Interrupted):
        bench.train(Watcher(stop=lambda: next(steps, None) is None))


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def check_table(bench, name="log.csv"):
    rows, log = table(bench.run.folder / name), bench.run.log()
    assert [(r["trajectory"], int(r["step"])) for r in rows] == [
        (r["trajectory"], r["step"]) for r in log
    ]
    for row, line in zip(rows, log, strict=True):
        assert float(row["train_loss"]) == line["train_loss"]
        assert float(row["rates/3"]) == line["rates"]["3"]


@pytest.mark.parametrize("after", [3, 5, 13])
def test_the_table_is_the_log_after_a_stop_too(after, tmp_path):
    bench = start(with_("csv"), tmp_path / "run")
    interrupted(bench, after)
    Workbench(bench.run).train()
    check_table(bench)


def test_the_table_is_made_again_where_it_is_gone(tmp_path):
    bench = start(with_("{name: csv, path: figures.csv}"), tmp_path / "run")
    bench.train()
    (tmp_path / "run" / "figures.csv").unlink()
    Workbench(bench.run).train()
    check_table(bench, "figures.csv")


class Fake:
    """Stands for the packages: what was sent, by whom, in which order."""

    def __init__(self, patch):
        self.scalars, self.opened, self.closed, self.fail_at = [], [], [], None
        self.runs: dict[str, str] = {}
        for name in ("tensorboard", "torch.utils.tensorboard", "mlflow"):
            self._module(patch, name)
        self._module(patch, "mlflow.entities").Metric = SimpleNamespace
        self._module(patch, "wandb").init = self.init
        sys.modules["wandb"].Settings = SimpleNamespace
        sys.modules["torch.utils.tensorboard"].SummaryWriter = self.writer
        sys.modules["mlflow"].MlflowClient = self.client

    def _module(self, patch, name):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        patch.setitem(sys.modules, name, module)
        return module

    def note(self, kind, name, value, step):
        if self.fail_at == len(self.scalars):
            raise ConnectionError("the server went away\nand more")
        self.scalars.append((kind, name, value, step))

    def writer(self, folder):
        self.opened.append(("tensorboard", folder))
        return SimpleNamespace(
            add_text=lambda *words: None,
            add_scalar=lambda n, v, s: self.note("tensorboard", n, v, s),
            flush=lambda: None,
            close=lambda: self.closed.append("tensorboard"),
        )

    def client(self, tracking_uri):
        self.opened.append(("mlflow", tracking_uri))

        def create(home, run_name):
            self.runs[f"run{len(self.runs)}"] = "RUNNING"
            return SimpleNamespace(
                info=SimpleNamespace(run_id=f"run{len(self.runs) - 1}")
            )

        def batch(run, metrics):
            assert self.runs[run] == "RUNNING"
            for metric in metrics:
                # the order of the arguments is MLflow's: key, value, time, step
                self.note("mlflow", metric.key, metric.value, metric.step)

        entities = sys.modules["mlflow.entities"]
        entities.Metric = lambda key, value, timestamp, step: SimpleNamespace(
            key=key, value=value, step=step
        )
        return SimpleNamespace(
            get_experiment_by_name=lambda name: None,
            create_experiment=lambda name: f"home of {name}",
            create_run=create,
            log_param=lambda run, name, value: None,
            update_run=lambda run, status: self.runs.update({run: status}),
            log_batch=batch,
            set_terminated=lambda run, status: self.runs.update({run: status}),
        )

    def init(self, **facts):
        self.opened.append(("wandb", facts["id"]))

        def log(values):
            own = next(name for name in values if name.endswith("/step"))
            for name in set(values) - {own}:
                self.note("wandb", name, values[name], values[own])

        return SimpleNamespace(
            define_metric=lambda name, step_metric: None,
            log=log,
            finish=lambda exit_code: self.closed.append(("wandb", exit_code)),
        )


@pytest.fixture
def fake(monkeypatch):
    return Fake(monkeypatch)


@pytest.mark.parametrize("name", [n for n, row in TRACKERS.items() if row.package])
@pytest.mark.parametrize("after", [4, 5, 14])
def test_every_figure_is_sent_once_whatever_happens(name, after, tmp_path, fake):
    bench = start(with_(name), tmp_path / "run")
    interrupted(bench, after)
    Workbench(bench.run).train()
    Workbench(bench.run).train()  # nothing is left to do
    found = {(n, step): value for _, n, value, step in fake.scalars}
    assert len(found) == len(fake.scalars)
    for line in bench.run.log():
        key = line["trajectory"], line["step"]
        assert found[f"{key[0]}/val_nll", key[1]] == line["val_nll"]
        assert found[f"{key[0]}/rates/3", key[1]] == line["rates"]["3"]
    sent = {(n.split("/")[0], step) for _, n, _, step in fake.scalars}
    assert sent == {(r["trajectory"], r["step"]) for r in bench.run.log()}
    if name == "mlflow":
        assert fake.runs == {"run0": "FINISHED"}
    if name == "wandb":
        assert len({word for _, word in fake.opened}) == 1
        assert fake.closed == [("wandb", 1), ("wandb", 0), ("wandb", 0)]


def test_a_kill_between_a_figure_and_the_state_sends_nothing_twice(tmp_path, fake):
    """The log is cut on resume, and its lines are written again; not so elsewhere."""
    text = with_("tensorboard").replace(
        "checkpoint_seconds: 0", "checkpoint_seconds: 9"
    )
    bench = start(text, tmp_path / "run")
    seen = []

    def die(*arguments):
        seen.append(arguments)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dale.train.loop.Loop._report", die)
        with pytest.raises(KeyboardInterrupt):
            bench.train()
    before = len(fake.scalars)
    assert before > 0
    Workbench(bench.run).train()
    keys = [(name, step) for _, name, _, step in fake.scalars]
    assert len(set(keys)) == len(keys) > before


def test_a_tracker_that_fails_stops_nothing(tmp_path, fake):
    fake.fail_at, words = 12, []
    bench = start(with_("tensorboard, csv"), tmp_path / "run")
    members = bench.train(Watcher(warn=words.append))
    assert len(members) == 3
    assert words == [
        "tracker tensorboard failed and gets nothing more (log.jsonl has everything): "
        "ConnectionError: the server went away"
    ]
    assert len(fake.scalars) == 12
    check_table(bench)


def test_trackers_change_no_member(tmp_path, fake):
    plain = [m.digest for m in start(RECIPE, tmp_path / "plain").train()]
    text = with_("csv, tensorboard, mlflow, wandb")
    assert [m.digest for m in start(text, tmp_path / "run").train()] == plain


def test_one_process_of_several_sends(tmp_path):
    said = together(lambda rank: start(with_("csv"), tmp_path / "run").train())
    assert said == ["", ""]
    check_table(Workbench(start(with_("csv"), tmp_path / "run").run))


@pytest.mark.parametrize("name", [n for n, row in TRACKERS.items() if row.package])
def test_a_package_that_is_missing_is_named_before_anything_is_made(
    name, tmp_path, monkeypatch
):
    monkeypatch.setattr("dale.train.trackers.find_spec", lambda package: None)
    said = rf"{name} needs the package {name}, .*; run: pip install 'dale\[{name}\]'"
    with pytest.raises(InputError, match=said):
        start(with_(name), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_cannot_be_opened_trains_nothing(tmp_path, fake, monkeypatch):
    def refuse(folder):
        raise PermissionError("not here")

    monkeypatch.setattr(sys.modules["torch.utils.tensorboard"], "SummaryWriter", refuse)
    bench = start(with_("csv, tensorboard"), tmp_path / "run")
    said = "tracker tensorboard could not be opened: PermissionError: not here"
    with pytest.raises(InputError, match=said):
        bench.train()
    assert len(bench.run.population) == 0
    assert bench.run.log() == []


def test_a_table_that_cannot_be_written_trains_nothing(tmp_path):
    bench = start(with_("{name: csv, path: figures/log.csv}"), tmp_path / "run")
    (tmp_path / "run" / "figures").write_text("no folder")
    with pytest.raises(InputError, match=r"tracker csv could not be opened: .*figures"):
        bench.train()
    assert len(bench.run.population) == 0
    assert bench.run.log() == []


def test_what_was_sent_is_sealed(tmp_path):
    bench = start(with_("csv"), tmp_path / "run")
    bench.train()
    path = tmp_path / "run" / "trackers" / "csv.json"
    path.write_text(path.read_text().replace("8", "9", 1))
    with pytest.raises(CorruptError, match=r"csv\.json was altered.*; delete this"):
        Mirror(bench.run, {"csv": lambda place: None}, {}, print)
    assert any("csv.json was altered" in line for line in verify(bench.run).problems)


def test_a_tracker_named_twice_gets_a_number(tmp_path, fake):
    text = with_("tensorboard, {name: tensorboard, folder: other}")
    start(text, tmp_path / "run").train()
    assert [folder for _, folder in fake.opened] == [
        str(tmp_path / "run" / "trackers" / "tensorboard"),
        "other",
    ]
    keys = [(name, step) for _, name, _, step in fake.scalars]
    assert len(keys) == 2 * len(set(keys))


@pytest.mark.parametrize(
    ("trackers", "said"),
    [
        ("tensorbord", "unknown name 'tensorbord'; did you mean 'tensorboard'"),
        ("{name: mlflow, url: x}", "unknown key 'url' in trackers"),
        ("{name: wandb, mode: of}", r"trackers\[0\]\.mode"),
    ],
)
def test_what_does_not_fit_is_one_line(trackers, said):
    with pytest.raises(RecipeError, match=said):
        parse_recipe(with_(trackers))


def test_the_event_files_of_tensorboard_itself(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    bench = start(with_("tensorboard"), tmp_path / "run")
    interrupted(bench, 5)
    Workbench(bench.run).train()
    events = EventAccumulator(str(tmp_path / "run" / "trackers" / "tensorboard"))
    events.Reload()
    log = [r for r in bench.run.log() if r["trajectory"] == "snapshot"]
    found = events.Scalars("snapshot/train_loss")
    assert [event.step for event in found] == [r["step"] for r in log]
    assert [e.value for e in found] == pytest.approx([r["train_loss"] for r in log])


@pytest.mark.filterwarnings("ignore")
def test_a_store_of_mlflow_itself(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file:{tmp_path}/mlruns"
    bench = start(with_(f'{{name: mlflow, uri: "{uri}"}}'), tmp_path / "run")
    interrupted(bench, 5)
    Workbench(bench.run).train()
    client = mlflow.MlflowClient(uri)
    (home,) = [e for e in client.search_experiments() if e.name == "dale"]
    (found,) = client.search_runs([home.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["layers.factor"] == "0.5"
    history = client.get_metric_history(found.info.run_id, "snapshot/rates/3")
    log = [r for r in bench.run.log() if r["trajectory"] == "snapshot"]
    assert [m.step for m in history] == [r["step"] for r in log]
    assert [m.value for m in history] == [r["rates"]["3"] for r in log]


@pytest.mark.filterwarnings("ignore")
def test_a_run_of_wandb_itself(tmp_path):
    pytest.importorskip("wandb")
    bench = start(with_("{name: wandb, mode: offline}"), tmp_path / "run")
    interrupted(bench, 5)
    Workbench(bench.run).train()
    found = list((tmp_path / "run" / "trackers" / "wandb").glob("offline-run-*"))
    assert len(found) >= 1
    assert len({path.name.rpartition("-")[2] for path in found}) == 1
