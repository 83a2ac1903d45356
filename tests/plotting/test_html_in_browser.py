"""The page of results in a real browser, by keys and by mouse."""

import dataclasses
import functools
import http.server
import json
import queue
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from kerasloc.plotting import ReportConfig, write_report

pytestmark = pytest.mark.extras
CLASSES = ('<b>"x" & co</b>', "cat", "dog")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-dev-shm-usage", "--disable-quic"),
    *("--enable-logging=stderr", "--v=0", "--window-size=1000,900"),
)

# The steps of a test run beside the page, which is in a frame.
DRIVER = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe id="frame" width="1000" height="800"></iframe><script>
const frame = document.getElementById("frame");
const errors = [];
const wait = (ms = 40) => new Promise((done) => setTimeout(done, ms));
const page = () => frame.contentDocument;
const $ = (id) => page().getElementById(id);
const shown = (id) => !$(id).hidden;
const open = async (hash, where = "page") => {
  frame.src = "about:blank";
  await wait();
  const loaded = new Promise((done) => { frame.onload = done; });
  frame.src = where + "/index.html" + hash;
  await loaded;
  frame.contentWindow.onerror = (words) => { errors.push(String(words)); };
  await wait();
};
const key = async (...names) => {
  for (const name of names) {
    const target = page().activeElement || page().body;
    const event = { key: name, bubbles: true, cancelable: true };
    target.dispatchEvent(new frame.contentWindow.KeyboardEvent("keydown", event));
    await wait();
  }
};
const click = async (node) => { node.click(); await wait(); };
const choose = async (id, value) => {
  $(id).value = value;
  $(id).dispatchEvent(new frame.contentWindow.Event("change", { bubbles: true }));
  await wait();
};
const all = (what) => [...page().querySelectorAll(what)];
const words = (what) => all(what).map((node) => node.textContent);
const cards = () => words("#cards .file");
const titles = () => words("figcaption");
const now = () => [$("name").textContent, $("position").textContent];
const pressed = () => page().querySelector('[aria-pressed="true"] .title').textContent;
const hash = () => decodeURIComponent(frame.contentWindow.location.hash);
(async () => {
  const result = {};
  try {
    %s
  } catch (error) { errors.push(String(error.stack)); }
  result.errors = errors;
  await fetch("/result", { method: "POST", body: JSON.stringify(result) });
})();
</script>"""


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The browser's command line with a new profile, without an address."""
    installed = [name for name in BROWSERS if shutil.which(name)]
    if not installed:
        pytest.skip("no chromium or chrome on PATH")
    return [
        installed[0],
        *FLAGS,
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ]


def problems(log):
    """Lines of the browser's log about errors of the page."""
    lines = [line for line in log.read_text().splitlines() if "CONSOLE" in line]
    return [line for line in lines if "Uncaught" in line or "Error" in line]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, receives results, and records requests."""

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.results.put(json.loads(text))

    def log_request(self, code="-", size="-"):
        if self.command == "GET":
            self.server.requests.append((self.path, int(code)))


@pytest.fixture(scope="module")
def server(report, report_images, tmp_path_factory):
    """Server of the page of five images, and of one of 300, on this machine."""
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(report, root / "page")
    many = (dataclasses.replace(report_images[0], name=str(i)) for i in range(300))
    write_report(root / "many", many, ReportConfig("many", CLASSES))
    serve = functools.partial(Handler, directory=root)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        server.root, server.results, server.requests = root, queue.Queue(), []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def drive(command, server, tmp_path):
    """Function from steps to their results and to the browser's requests."""

    def run(steps):
        server.requests.clear()
        (server.root / "driver.html").write_text(DRIVER % steps)
        address = f"http://127.0.0.1:{server.server_port}/driver.html"
        log = tmp_path / "log"
        with open(log, "w") as file:
            words = [*command, "--remote-debugging-port=0", address]
            process = subprocess.Popen(words, stdout=file, stderr=file)
            try:
                result = server.results.get(timeout=60)
            finally:
                process.terminate()
                process.wait()
        assert problems(log) == result.pop("errors") == []
        return result, list(server.requests)

    return run


ALL = ["a/1.png", "a/2 <i>.png", "b/3.png", "b/4.png", "b/5.png"]


@pytest.mark.slow
def test_filters_show_the_matching_images(drive):
    result, _ = drive("""
    await open("");
    result.all = cards();
    result.count = $("count").textContent;
    result.classes = [...$("class").options].map((o) => o.textContent);
    await choose("hits", "miss"); result.miss = cards();
    await choose("hits", "hit"); result.hit = cards();
    await choose("class", "cat"); result.cat_hit = cards();
    await choose("hits", "none"); result.cat_none = cards();
    await choose("class", ""); result.none = cards();
    await click($("reset")); result.reset = cards();
    await choose("class", '<b>"x" & co</b>'); result.markup = cards();
    result.hash = hash();
    await choose("hits", "miss"); result.markup_miss = cards();
    await choose("class", "dog"); result.nothing = [cards(), shown("nothing")];
    await click($("reset"));
    await choose("answer", "alarm"); result.alarm = cards();
    await choose("answer", "overlooked"); result.overlooked = cards();
    await choose("answer", "right"); result.right = cards();
    await click($("reset"));
    await choose("class", "cat"); await choose("answer", "overlooked");
    result.cat_overlooked = cards();
    await click($("reset"));
    await choose("sort", "high"); result.high = cards();
    await choose("sort", "low"); await choose("class", "cat"); result.low = cards();
    """)
    assert result["all"] == result["reset"] == ALL
    assert result["count"] == "5 of 5 images; 2 of 3 maxima lie in a box of their class"
    # labeled or boxed, or predicted where the label is unknown
    assert result["classes"] == ["all", '<b>"x" & co</b> (2)', "cat (2)", "dog (1)"]
    assert result["miss"] == result["markup_miss"] == ALL[1:2]
    assert result["hit"] == result["markup"] == ALL[:2]
    assert result["cat_hit"] == ALL[1:2]
    assert result["cat_none"] == ["b/3.png"]
    assert result["none"] == ALL[2:]
    assert result["hash"] == '#class=<b>"x"+&+co</b>'
    assert result["nothing"] == [[], True]
    assert result["alarm"] == ["b/4.png"]
    assert result["overlooked"] == ["a/2 <i>.png", "b/3.png"]
    assert result["right"] == ALL[:2]
    assert result["cat_overlooked"] == ["b/3.png"]
    assert result["high"] == [ALL[i] for i in (0, 1, 3, 4, 2)]
    assert result["low"] == ["b/3.png", "a/2 <i>.png"]


@pytest.mark.slow
def test_keys_go_through_the_filtered_images_and_back(drive):
    result, requests = drive("""
    await open("#hits=none");
    result.grid = [shown("grid"), shown("detail"), cards()];
    await key("ArrowRight", "ArrowRight");
    result.focused = page().activeElement.querySelector(".file").textContent;
    await click(page().activeElement);
    result.opened = [shown("grid"), shown("detail"), ...now()];
    result.heading = page().activeElement.id;
    await key("ArrowRight"); result.right = now();
    await key("ArrowRight"); result.end = now();
    await key("ArrowLeft"); result.left = now();
    await key("Home"); result.home = now();
    await key("End"); result.last = now();
    await key("k"); result.k = now();
    await key("j"); result.j = now();
    result.status = $("status").textContent;
    await click($("previous")); result.button = now();
    await key("Escape");
    result.back = [shown("grid"), shown("detail"), hash(), cards()];
    result.refocused = page().activeElement.querySelector(".file").textContent;
    await key("?"); result.help = $("help").open;
    result.requests = frame.contentWindow.performance.getEntriesByType("resource")
      .map((one) => one.name.replace(location.origin, ""));
    """)
    assert result["grid"] == [True, False, ALL[2:]]
    assert result["focused"] == "b/4.png"
    assert result["opened"] == [False, True, "b/4.png", "2 of 3"]
    assert result["heading"] == "name"
    assert result["right"] == result["end"] == ["b/5.png", "3 of 3"]
    assert result["left"] == ["b/4.png", "2 of 3"]
    assert result["home"] == ["b/3.png", "1 of 3"]
    assert result["last"] == result["j"] == ["b/5.png", "3 of 3"]
    assert result["k"] == ["b/4.png", "2 of 3"]
    assert result["status"] == "Image 3 of 3: b/5.png; dog 0.600, no box"
    assert result["button"] == ["b/4.png", "2 of 3"]
    assert result["back"] == [True, False, "#hits=none", ALL[2:]]
    assert result["refocused"] == "b/4.png"
    assert result["help"] is True
    assert result["requests"]
    assert all(name.startswith("/page/images/") for name in result["requests"])
    paths = {path for path, _ in requests} - {"/driver.html", "/page/index.html"}
    assert all(path.startswith("/page/images/") for path in paths)
    assert {code for _, code in requests} <= {200, 304}


@pytest.mark.slow
def test_keys_go_through_the_classes_of_an_image(drive):
    result, _ = drive("""
    const boxes = () => all("figure:first-child rect.line").length;
    await open("#image=2&class=cat");
    result.linked = [pressed(), titles().at(-1), $("filtered").textContent];
    await key("ArrowDown"); result.down = [pressed(), titles().at(-1)];
    await key("ArrowDown"); result.all = [pressed(), titles().at(-1), hash()];
    await key("ArrowDown"); result.around = pressed();
    await key("ArrowUp"); result.up = pressed();
    await key("2"); result.two = pressed();
    await key("9"); result.nine = pressed();
    await key("0"); result.zero = pressed();
    await click(all("#classes button")[2]); result.clicked = pressed();
    result.boxes = boxes();
    await key("b"); result.bare = [boxes(), $("boxes").checked, hash()];
    await click($("boxes")); result.boxed = boxes();
    const opacity = () => Number(all("figure:last-child img")[1].style.opacity);
    result.answered = opacity();
    await key("s"); result.own = [opacity(), $("scale").value];
    result.verdicts = words("#classes .verdict");
    result.labels = words("#classes .label");
    result.abnormal = titles().includes("Abnormality attention");
    await key("ArrowRight", "ArrowRight"); result.next = now();
    result.alts = all("figure img").every((n) => n.hasAttribute("alt"));
    await open("#image=4"); result.titles = titles();
    await open("#image=5"); result.unknown = words(".label")[0];
    await open("#image=99&class=nothing"); result.wrong = cards();
    """)
    markup = '<b>"x" & co</b>'
    assert result["linked"] == ["cat", "Class attention: cat", "Filter: cat"]
    assert result["down"] == ["dog", "Class attention: dog"]
    assert result["all"][:2] == ["all classes", "Class attention: all classes"]
    assert "all=1" in result["all"][2]
    assert result["around"] == markup
    assert result["up"] == "all classes"
    assert result["two"] == result["nine"] == "cat"
    assert result["zero"] == "all classes"
    assert result["clicked"] == "dog"
    assert result["boxes"] == result["boxed"] == 3
    assert result["bare"][:2] == [0, False]
    assert "boxes=0" in result["bare"][2]
    # from 0.1 to 0.9 at a strength of 0.7, over an even layer of 0.07
    assert result["answered"] == pytest.approx(0.7 * 0.8 / (1 - 0.07), abs=1e-4)
    assert result["own"] == [0.7, "own"]
    assert [word[2:] for word in result["verdicts"]] == ["miss", "hit", " box"]
    assert [word[6:] for word in result["labels"]] == ["true", "true", "false"]
    assert result["abnormal"] is False
    assert result["next"] == ["b/3.png", "2 of 2"]
    assert result["alts"] is True
    assert result["titles"] == [
        "Input",
        "Box mask",
        "Abnormality attention",
        "Class attention: dog",
    ]
    assert result["unknown"] == "label unknown"
    assert result["wrong"] == ALL


@pytest.mark.slow
def test_of_many_images_all_can_be_reached(drive):
    result, _ = drive("""
    await open("", "many"); await wait(300);
    result.loaded =
      frame.contentWindow.performance.getEntriesByType("resource").length;
    result.first = [$("count").textContent.split(";")[0], cards().length];
    $("rest").scrollIntoView();
    for (let i = 0; i < 100 && cards().length === result.first[1]; i++) await wait();
    result.scrolled = cards().length;
    await key("End"); result.end = [page().activeElement.textContent, cards().length];
    await key("Home", "ArrowLeft"); result.home = page().activeElement.textContent;
    await open("#image=299", "many"); await key("Escape");
    result.back = page().activeElement.textContent;
    """)
    assert result["first"][0] == "300 of 300 images"
    assert result["first"][1] < result["scrolled"] <= 300
    words = '<b>"x" & co</b>\u2713 hit'
    assert result["end"] == [f"299{words}", 300]
    assert result["home"] == f"0{words}"
    assert result["back"] == f"298{words}"
    assert 0 < result["loaded"] < 2 * result["first"][1]  # out of sight, they wait


@pytest.mark.slow
@pytest.mark.parametrize("state", ["#scale=own", "#image=1"])
def test_the_page_shows_its_pictures_without_a_server(command, report, tmp_path, state):
    shot, log = tmp_path / "shot.png", tmp_path / "log"
    address = (report / "index.html").as_uri() + state
    words = [*command, "--virtual-time-budget=5000", f"--screenshot={shot}", address]
    with open(log, "w") as file:
        subprocess.run(words, stdout=file, stderr=file, timeout=60, check=True)
    assert problems(log) == []
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # the images of that page have a gray that nothing else on it has
    gray = (abs(pixels - 128) <= 2).all(axis=-1).mean()
    assert gray > 0.05
