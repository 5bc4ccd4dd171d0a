// Runs in every page before its own scripts: time that passes only when it is told to, chance that is the same in every
// page until the page is seeded, nothing that blinks, fades or asks, and what is seen of the page as plain data.
(() => {
  "use strict";

  // ---- time: a clock that `webPage.pass(milliseconds)` moves on, with the timers that are due on the way
  const RealDate = Date;
  const begin = RealDate.UTC(2017, 0, 2, 9, 0, 0); // the year of MiniWoB; calendars show the month of their task
  let now = 0, number = 1;
  const timers = new Map();

  function FakeDate(...given) {
    if (!new.target) return new RealDate(begin + now).toString();
    const made = given.length ? new RealDate(...given) : new RealDate(begin + now);
    Object.setPrototypeOf(made, new.target.prototype);
    return made;
  }
  FakeDate.prototype = RealDate.prototype;
  FakeDate.prototype.constructor = FakeDate;
  Object.setPrototypeOf(FakeDate, RealDate);
  FakeDate.now = () => begin + now;
  window.Date = FakeDate;
  performance.now = () => now;

  function start(call, wait, every, given) {
    const time = Math.max(1, +wait || 0);
    timers.set(number, { call, due: now + time, every: every ? time : 0, given });
    return number++;
  }
  const stop = (one) => { timers.delete(one); };
  window.setTimeout = (call, wait, ...given) => start(call, wait, false, given);
  window.setInterval = (call, wait, ...given) => start(call, wait, true, given);
  window.clearTimeout = window.clearInterval = stop;
  window.requestAnimationFrame = (call) => start(() => call(now), 16 - (now % 16), false, []);
  window.cancelAnimationFrame = stop;
  window.requestIdleCallback = (call) =>
    start(() => call({ didTimeout: false, timeRemaining: () => 10 }), 1, false, []);
  window.cancelIdleCallback = stop;

  let typed = ""; // into a list, by one action
  const MOST_CALLS = 10000; // of timers in one go, so that a page that starts ever more of them comes to an end
  function pass(milliseconds) {
    const end = now + milliseconds;
    typed = "";
    for (let calls = 0; calls < MOST_CALLS; calls++) {
      let first = null;
      for (const [id, timer] of timers) {
        if (timer.due <= end && (first === null || timer.due < timers.get(first).due)) first = id;
      }
      if (first === null) break;
      const timer = timers.get(first);
      now = Math.max(now, timer.due);
      if (timer.every) timer.due = now + timer.every; else timers.delete(first);
      try {
        if (typeof timer.call === "function") timer.call(...timer.given); else (0, eval)(timer.call);
      } catch (error) {
        console.error(error);
      }
    }
    now = end;
  }

  // ---- chance: until the page is seeded (a linear congruential generator, Numerical Recipes' constants)
  let state = 1;
  Math.random = () => (state = (1664525 * state + 1013904223) % 4294967296) / 4294967296;

  // ---- nothing that waits for a person, and nothing that moves by itself
  window.alert = () => {};
  window.confirm = () => true;
  window.prompt = () => null;
  window.open = () => null;
  document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent =
      "* { caret-color: transparent !important; transition: none !important; animation: none !important; }" +
      "#sync-task-cover { display: none !important; }" + // MiniWoB's screen between two episodes
      "::-webkit-calendar-picker-indicator { display: none !important; }"; // opens a window of its own
    document.head.appendChild(style);
  });

  // What a style shows under the mouse is asked for then, and has no size until it is there: have it before.
  const kept = [];
  function keepPictures(rules, base) {
    for (const rule of rules) {
      if (rule.cssRules) keepPictures(rule.cssRules, base);
      for (const [, url] of (rule.style ? rule.cssText : "").matchAll(/url\("([^"]+\.(?:png|gif|jpe?g|svg))"\)/g)) {
        const picture = new Image();
        picture.src = new URL(url, base).href;
        kept.push(picture);
      }
    }
  }
  window.addEventListener("load", () => {
    for (const sheet of document.styleSheets) keepPictures(sheet.cssRules, sheet.href || document.baseURI);
  });

  // A list's menu is a window of its own, which no picture shows: a click is for the keys alone, and what is typed
  // chooses the option of that name, or the first that begins so, by no measure of time.
  const isMenu = (one) => one instanceof HTMLSelectElement && !one.multiple && one.size <= 1;
  document.addEventListener("mousedown", (event) => {
    if (!isMenu(event.target)) return;
    event.preventDefault();
    event.target.focus();
  }, true);
  document.addEventListener("keydown", (event) => {
    if (!isMenu(event.target) || (event.key.length > 1 && event.key !== "Enter")) return;
    event.preventDefault();
    if (event.key === "Enter" || event.ctrlKey) return;
    typed += event.key.toLowerCase();
    const names = [...event.target.options].map((each) => each.text.toLowerCase());
    const same = names.indexOf(typed);
    const chosen = same >= 0 ? same : names.findIndex((each) => each.startsWith(typed));
    if (chosen < 0 || chosen === event.target.selectedIndex) return;
    event.target.selectedIndex = chosen;
    for (const kind of ["input", "change"]) event.target.dispatchEvent(new Event(kind, { bubbles: true }));
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target instanceof HTMLInputElement && ["color", "file"].includes(event.target.type)) {
      event.preventDefault();
    }
  }, true);

  // ---- what is seen
  const HIDDEN = new Set(["reward-display", "sync-task-cover", "click-canvas", "query"]);
  const SKIPPED = new Set(["SCRIPT", "STYLE"]);

  function ownText(element) {
    let text = "";
    for (const child of element.childNodes) if (child instanceof Text) text += child.data;
    return text.replace(/\s+/g, " ").trim();
  }

  function textBox(element) {
    // The first line of an element's own text: a container may be far wider, and has its middle elsewhere.
    for (const child of element.childNodes) {
      if (!(child instanceof Text) || !child.data.trim()) continue;
      const range = document.createRange();
      range.selectNodeContents(child);
      const box = range.getClientRects()[0];
      if (box && box.width && box.height) return box;
    }
    return null;
  }

  // Where a click at the middle of a cell (4 pixels, from 50 down) hits an element, which others may cover; the nearest to
  // its middle, or that.
  const CELL = 4, TOP = 50, SIDE = 160;
  function spot(element, box) {
    const middle = [box.left + box.width / 2, box.top + box.height / 2];
    const inside = ([x, y]) => x >= 0 && x < SIDE && y >= TOP && y < TOP + SIDE;
    const hit = ([x, y]) => {
      const there = document.elementFromPoint(x, y);
      return there !== null && element.contains(there);
    };
    const snap = ([x, y]) =>
      [CELL * Math.floor(x / CELL) + CELL / 2, TOP + CELL * Math.floor((y - TOP) / CELL) + CELL / 2];
    if (!inside(middle) || hit(snap(middle))) return middle;
    let best = middle, least = Infinity;
    for (let x = box.left; x < box.right; x += CELL) {
      for (let y = box.top; y < box.bottom; y += CELL) {
        const point = snap([x, y]), away = Math.hypot(point[0] - middle[0], point[1] - middle[1]);
        if (away < least && inside(point) && hit(point)) [best, least] = [point, away];
      }
    }
    return best;
  }

  function seen(element, found) {
    if (HIDDEN.has(element.id) || SKIPPED.has(element.tagName)) return;
    if (element instanceof HTMLOptionElement && isMenu(element.closest("select"))) return;
    const style = getComputedStyle(element);
    if (style.display === "none") return;
    const box = element.getBoundingClientRect();
    const one = {
      tag: element.tagName.toLowerCase(), id: element.id, classes: element.getAttribute("class") || "",
      text: ownText(element), value: "", left: box.left, top: box.top, width: box.width, height: box.height,
      focused: document.activeElement === element && element !== document.body, checked: false,
      leaf: element.childElementCount === 0, drawn: element instanceof SVGElement, fill: style.fill, color: style.color, background: style.backgroundColor,
      attributes: Object.fromEntries([...element.attributes].map((each) => [each.name, each.value])),
      scroll: [element.scrollTop, element.scrollHeight, element.clientHeight],
    };
    if (element instanceof HTMLInputElement) {
      one.tag = element.type === "submit" || element.type === "button" ? "button" : element.type;
      if (one.tag === "button") one.text = element.value;
      else if (element.type === "checkbox" || element.type === "radio") one.checked = element.checked;
      else one.value = element.value;
    } else if (element instanceof HTMLTextAreaElement) {
      one.text = "";
      one.value = element.value;
    } else if (element instanceof HTMLOptionElement) {
      one.checked = element.selected;
    } else if (isMenu(element)) {
      one.leaf = true;
      one.text = [...element.options].map((each) => each.text).join("/");
      one.value = [...element.selectedOptions].map((each) => each.text).join("/");
    }
    const words = one.text && !one.leaf ? textBox(element) : null;
    if (words) Object.assign(one, { left: words.left, top: words.top, width: words.width, height: words.height });
    const shown = new DOMRect(one.left, one.top, one.width, one.height);
    one.spot = one.text || one.leaf ? spot(element, shown) : [one.left + one.width / 2, one.top + one.height / 2];
    if (style.visibility !== "hidden" && one.width > 0 && one.height > 0) found.push(one);
    for (const child of element.children) seen(child, found);
  }

  function look() {
    const found = [];
    if (document.body) seen(document.body, found);
    const said = core.getUtterance();
    return {
      instruction: typeof said === "string" ? said : said.utterance,
      elements: found, done: WOB_DONE_GLOBAL, reward: WOB_RAW_REWARD_GLOBAL, reason: WOB_REWARD_REASON,
    };
  }

  function scroll(x, y, down) {
    for (let one = document.elementFromPoint(x, y); one; one = one.parentElement) {
      const style = getComputedStyle(one).overflowY;
      const before = one.scrollTop;
      if (style === "auto" || style === "scroll" || one === document.scrollingElement) one.scrollTop += down;
      if (one.scrollTop !== before) return;
    }
  }

  function begun(seed, mode) {
    Math.seedrandom(seed);
    core.setDataMode(mode);
    core.startEpisodeReal();
    clearTimeout(core.EP_TIMER); // episodes end by steps
  }

  window.webPage = { pass, look, scroll, begun };
})();
