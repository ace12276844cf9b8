#!/usr/bin/env python3
"""Opens report pages in headless Chromium and checks what a reader would see.

report_pages.py PAGE.html... [--broken PAGE.html] [--screenshots FOLDER]

Every page in light, in dark and 390 pixels wide: no message on the console, no request, something
drawn on every canvas, nothing wider than the window, text with a contrast of at least 4.5, headings in
order, a name for every picture and control; then the keyboard, the choice of a layer, the button for
colours, and printing. On the page --broken all of BROKEN must be found. Needs nothing but Debian's chromium: it is driven over pipes by the DevTools
protocol.
"""

import argparse
import base64
import fcntl
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time

WAIT = 60  # seconds until a browser that says nothing is given up


class Browser:
    """Chromium, with JSON messages that end in NUL on its file descriptors 3 (in) and 4 (out)."""

    def __init__(self, profile):
        ends = []
        for end in (*os.pipe(), *os.pipe()):
            ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
            os.close(end)
        child_in, self.to_child, self.from_child, child_out = ends

        def connect():
            os.dup2(child_in, 3)
            os.dup2(child_out, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--disable-extensions",
             "--disable-component-update", "--hide-scrollbars", "--force-color-profile=srgb",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=connect, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": profile})
        os.close(child_in)
        os.close(child_out)
        self.buffer, self.events, self.number, self.session = b"", [], 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def receive(self):
        deadline = time.monotonic() + WAIT
        while b"\0" not in self.buffer:
            if not select.select([self.from_child], [], [], max(0, deadline - time.monotonic()))[0]:
                raise RuntimeError("Chromium does not answer")
            data = os.read(self.from_child, 1 << 20)
            if not data:
                raise RuntimeError("Chromium has ended")
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_child, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, url):
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def press(self, key):
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13}[key], **text)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


# What is wrong with the page as it is shown now, as a list of texts.
CHECKS = r"""
(async () => {
  for (let frame = 0; frame < 4; ++frame) await new Promise(requestAnimationFrame);
  const wrong = [];
  const shown = element => element.checkVisibility ? element.checkVisibility() : element.offsetParent;

  const rgb = text => { const c = new OffscreenCanvas(1, 1).getContext('2d'); c.fillStyle = text;
    c.fillRect(0, 0, 1, 1); const p = c.getImageData(0, 0, 1, 1).data; return p[0] << 16 | p[1] << 8 | p[2]; };
  const charts = JSON.parse(document.getElementById('data').textContent).charts;
  const canvases = [...document.querySelectorAll('canvas')].filter(shown);
  for (const canvas of canvases) {
    const name = canvas.id;
    const {width, height} = canvas;
    let data = [];
    if (width * height > 0) {
      const copy = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
      copy.drawImage(canvas, 0, 0);
      data = copy.getImageData(0, 0, width, height).data;
    }
    const colours = new Map();
    for (let i = 0; i < data.length; i += 4) {
      const colour = data[i] << 16 | data[i + 1] << 8 | data[i + 2];
      if (data[i + 3] > 200) colours.set(colour, (colours.get(colour) || 0) + 1);
    }
    if (colours.size < 4) wrong.push(`canvas ${name}: nothing is drawn`);
    const chart = Chart.getChart(canvas);
    if (chart) {  // its own colours, not the axes alone
      const near = c => [...colours.keys()].some(d => [16, 8, 0].every(  // thin lines are smoothed
        shift => Math.abs((c >> shift & 255) - (d >> shift & 255)) < 40));
      chart.data.datasets.forEach(set => {
        if (set.edge || set.borderWidth === 0 || !set.data.some(p => Number.isFinite(typeof p === 'number' ? p : p.y))) return;
        const colour = set.borderColor || set.backgroundColor;
        if (colour.length === 7 && chart.data.datasets.length < 10 && !near(rgb(colour)))
          wrong.push(`canvas ${name}: series ${set.label} is not to be seen`);
      });
    }
    const parts = ((chart && charts[name.slice(1)] || {}).dimensions || []).flatMap(axis => axis.parts);
    const thick = getComputedStyle(document.documentElement).getPropertyValue('--c2').trim();
    if (parts.length && !(colours.get(rgb(thick)) > 50 * parts.length))
      wrong.push(`canvas ${name}: ${parts.length} parts of axes are not to be seen`);
    const label = canvas.getAttribute('aria-label') || (canvas.getAttribute('aria-labelledby') || '')
      .split(' ').map(id => (document.getElementById(id) || {}).textContent).join(' ');
    if (canvas.getAttribute('role') !== 'img' || label.trim().length < 10)
      wrong.push(`canvas ${name}: no role or label`);
  }
  for (const figure of document.querySelectorAll('figure')) {
    if (!figure.querySelector('details table tbody tr')) wrong.push('a figure without its numbers');
    if (!(figure.querySelector('.finding') || {textContent: ''}).textContent.endsWith('.'))
      wrong.push('a figure without a sentence');
    if (/\bnan\b|\binf\b|undefined|null| - /.test(figure.querySelector('.finding').textContent))
      wrong.push('a sentence without its number: ' + figure.querySelector('.finding').textContent);
  }

  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) wrong.push(`the page is ${wide} pixels wide in a window of ${innerWidth}`);

  let level = 0;
  for (const heading of document.querySelectorAll('h1,h2,h3,h4,h5,h6')) {
    const next = +heading.tagName[1];
    if (next > level + 1 || heading.textContent.trim() === '') wrong.push(`heading ${heading.outerHTML} after h${level}`);
    level = next;
  }
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  for (const control of document.querySelectorAll('button,select'))
    if (!control.getAttribute('aria-label') && !(control.labels || []).length && !control.textContent.trim())
      wrong.push('a control without a name');

  const parse = text => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, bottom) => top.slice(0, 3).map((c, i) => c * top[3] + bottom[i] * (1 - top[3])).concat(1);
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05); };
  const background = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const low = new Set();
  let seen = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !shown(element) || element.closest('script,style')) continue;
    ++seen;
    const below = background(element);
    const ratio = contrast(over(parse(getComputedStyle(element).color), below), below);
    if (ratio < 4.5) low.add(`${element.tagName}.${element.className}: contrast ${ratio.toFixed(2)}`);
  }
  wrong.push(...low);
  if (seen < 10) wrong.push('hardly any text');
  const page = background(document.body);
  for (let i = 0; i < 6; ++i) {
    const probe = document.createElement('i');
    probe.style.color = getComputedStyle(document.documentElement).getPropertyValue('--c' + i);
    document.body.append(probe);
    const ratio = contrast(parse(getComputedStyle(probe).color), page);
    probe.remove();
    if (!(ratio >= 4.5)) wrong.push(`colour ${i} of lines: contrast ${ratio.toFixed(2)}`);
  }

  if (document.images.length || document.scripts.length !== 3) wrong.push('foreign elements are in the page');
  return {wrong, canvases: canvases.length, texts: seen};
})()
"""

# Choosing another layer draws something else, on one scale in all panels.
CHOICE = r"""
(() => {
  const wrong = [];
  for (const select of document.querySelectorAll('select')) {
    const panels = [...document.querySelectorAll(`canvas[id^="c${select.id.slice(1)}-"]`)];
    const before = panels.map(canvas => canvas.toDataURL());
    if (select.options.length < 2) continue;
    select.value = select.selectedIndex === 0 ? 1 : 0;
    select.dispatchEvent(new Event('change'));
    if (panels[0].toDataURL() === before[0]) wrong.push('another layer looks the same');
    const scales = panels.map(canvas => Chart.getChart(canvas)).filter(Boolean).map(c => c.scales.y);
    if (scales.some(y => y.min !== scales[0].min || y.max !== scales[0].max))
      wrong.push('panels with different scales');
  }
  return wrong;
})()
"""

MODES = {"light": ("light", 1200, 900), "dark": ("dark", 1200, 900), "phone": ("light", 390, 844)}


def check_page(browser, page, screenshots, modes=tuple(MODES)):
    wrong = []
    url = page.resolve().as_uri()
    for mode in modes:
        theme, width, height = MODES[mode]
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=1, mobile=width < 500)
        browser.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": theme}])
        if mode == modes[0]:
            browser.open(url)
        found = browser.value(CHECKS)
        wrong += [f"{mode}: {text}" for text in found["wrong"]]
        if browser.value("document.documentElement.dataset.theme") != theme:
            wrong.append(f"{mode}: not {theme}")
        for event in browser.events:
            kind, detail = event["method"], event.get("params", {})
            if kind in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                wrong.append(f"{mode}: on the console: {json.dumps(detail)[:400]}")
            if kind == "Network.requestWillBeSent" and detail["request"]["url"] != url:
                wrong.append(f"{mode}: asks for {detail['request']['url']}")
        browser.events.clear()
        if screenshots:
            size = browser.call("Page.getLayoutMetrics")["cssContentSize"]
            picture = browser.call("Page.captureScreenshot", captureBeyondViewport=True,
                                   clip={"x": 0, "y": 0, "width": width, "height": size["height"],
                                         "scale": 1})
            name = f"{page.stem}-{mode}.png"
            (screenshots / name).write_bytes(base64.b64decode(picture["data"]))

    wrong += browser.value(CHOICE)
    browser.value("scrollTo(0, 0); document.activeElement.blur()")
    browser.press("Tab")
    focused = browser.value("document.activeElement.className + ' ' + "
                            "getComputedStyle(document.activeElement).outlineStyle + ' ' + "
                            "(document.activeElement.getBoundingClientRect().left >= 0)")
    if focused != "skip solid true":
        wrong.append(f"the first stop of the keyboard is '{focused}'")
    browser.press("Tab")
    before = browser.value("document.documentElement.dataset.theme")
    browser.press("Enter")
    if browser.value("document.documentElement.dataset.theme") == before:
        wrong.append("the button for colours does nothing")
    pdf = base64.b64decode(browser.call("Page.printToPDF", printBackground=False)["data"])
    if not pdf.startswith(b"%PDF") or len(pdf) < 20000:
        wrong.append(f"printed: {len(pdf)} bytes")
    if browser.value("document.documentElement.dataset.theme") == before:
        wrong.append("printing changes the colours of the screen")
    if screenshots:
        (screenshots / f"{page.stem}.pdf").write_bytes(pdf)
    return wrong, found


BROKEN = ["heading", "contrast", "pixels wide", "foreign elements", "on the console",
          "nothing is drawn", "without its number"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument("--broken", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path)
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            for page in arguments.pages:
                wrong, found = check_page(browser, page, arguments.screenshots)
                for text in wrong:
                    print(f"{page.name}: {text}")
                failed = failed or bool(wrong)
                print(f"{page.name}: {found['canvases']} canvases, {found['texts']} texts")
            if arguments.broken:
                wrong, _ = check_page(browser, arguments.broken, None, ["phone"])
                for text in BROKEN:
                    if not any(text in found for found in wrong):
                        print(f"{arguments.broken.name}: not found: {text}")
                        failed = True
        finally:
            browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
