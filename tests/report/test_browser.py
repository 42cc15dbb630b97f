"""The page in a real browser: every plot drawn, nothing refused, nothing too wide."""

import html
import json
import re
import shutil
import subprocess

import pytest

from dale.report import render

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
    "--virtual-time-budget=8000",
)
WATCH = """<script>
  window.faults = [];
  const fault = (...what) => window.faults.push(what.map(String).join(" "));
  addEventListener("error", (event) => fault("error", event.message));
  addEventListener("unhandledrejection", (event) => fault("promise", event.reason));
  addEventListener("securitypolicyviolation", (event) => fault(event.blockedURI));
  console.error = console.warn = fault;
</script>"""
PROBE = """<script>
  addEventListener("load", () => setTimeout(() => {
    const all = (what) => [...document.querySelectorAll(what)];
    const widths = all(".plot").map((plot) =>
      [plot.clientWidth, plot.querySelector(".main-svg").clientWidth]);
    const sorted = (title) => {
      all(".results thead button").find((b) => b.textContent === title).click();
      return all(".results tbody th").map((name) => name.firstChild.nextSibling.data);
    };
    parent.postMessage({
      frame: window.name,
      faults: window.faults,
      drawn: all(".plot").filter((plot) => plot.querySelector(".main-svg")).length,
      marks: all(".point, .hm, .js-line").length,
      legend: all(".legendtext").map((text) => text.textContent),
      width: innerWidth,
      content: document.documentElement.scrollWidth,
      widths,
      below: all(".plot .legend .bg").map((legend) =>
        legend.closest(".plot").clientHeight - legend.getBBox().height),
      ink: getComputedStyle(document.body).color,
      grid: document.querySelector(".xgrid").style.stroke,
      rows: [sorted("NLL"), sorted("NLL"), sorted("Predictor")],
      states: all(".results [aria-sort]").map((head) => head.ariaSort),
    }, "*");
  }, 500));
</script>"""
# A window cannot be as narrow as a phone; a frame can, and has a scheme of its own.
FRAMES = {
    "wide": "width: 1280px; color-scheme: light",
    "narrow": "width: 390px; color-scheme: light",
    "dark": "width: 360px; color-scheme: dark",
}
HOST = """<!doctype html><html><body><script>
  addEventListener("message", (event) => {
    const found = document.createElement("pre");
    found.textContent = JSON.stringify(event.data);
    document.body.append(found);
  });
</script>%s</body></html>"""


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """What the probe finds in each frame, for a document."""

    def of(document):
        folder = tmp_path_factory.mktemp("browser")
        page = render(document).replace('<meta charset="utf-8">', WATCH, 1)
        page = page.replace("</body>", PROBE + "</body>")
        (folder / "page.html").write_text(page, encoding="utf-8")
        frames = [
            f'<iframe name="{name}" src="page.html" style="height: 800px; {style}">'
            "</iframe>"
            for name, style in FRAMES.items()
        ]
        host = folder / "host.html"
        host.write_text(HOST % "".join(frames), encoding="utf-8")
        profile = f"--user-data-dir={folder / 'profile'}"
        command = [str(BROWSER), *FLAGS, profile, "--dump-dom", host.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        found = re.findall(r"<pre>(.*?)</pre>", done.stdout, flags=re.DOTALL)
        reports = [json.loads(html.unescape(text)) for text in found]
        return {report["frame"]: report for report in reports}

    return of


@pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is on PATH")
def test_the_page_works_in_a_browser(document, browse):
    document["log"] += [row | {"trajectory": "<b>x</b>"} for row in document["log"][:2]]
    long = "unbroken" * 12
    document["title"] = document["command"] = long
    row = document["risk_coverage"][0]
    document["risk_coverage"] += [
        row | {"name": f"soup of snapshots {n}"} for n in range(9)
    ]
    document["table"]["rows"][0]["note"] = long
    found = browse(document)
    assert found.keys() == FRAMES.keys()
    for report in found.values():
        assert report["faults"] == []
        assert report["drawn"] == len(report["widths"]) > 15
        assert report["marks"] > 20
        assert report["content"] <= report["width"]
        assert all(plot <= room for room, plot in report["widths"])
        assert min(report["below"]) > 250  # whatever the legend takes
        assert "<b>x</b>" in report["legend"]
        check_sorting(report)
    assert [found[name]["width"] for name in FRAMES] == [1280, 390, 360]
    check_schemes(found)


def check_sorting(report):
    """Up, down, by name; a hole comes last either way."""
    up, down, named = report["rows"]
    assert up == ["ensemble", "last", "other"]
    assert down == ["last", "ensemble", "other"]
    assert named == ["ensemble", "last", "other"]
    assert report["states"] == ["ascending"] + ["none"] * 9


def check_schemes(found):
    """Text and plots follow the colour scheme."""
    assert found["wide"]["ink"] == found["narrow"]["ink"] == "rgb(27, 32, 38)"
    assert found["dark"]["ink"] == "rgb(227, 230, 233)"
    assert found["wide"]["grid"] == "rgb(228, 231, 234)"
    assert found["dark"]["grid"] == "rgb(43, 49, 55)"
