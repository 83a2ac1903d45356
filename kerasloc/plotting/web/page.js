"use strict";
// Everything that is shown follows from the page's data and from the address behind
// "#". Names of files and classes only ever become text, never markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const classes = data.classes;
  // a class is "of" an image that is labeled so, or boxed, or, with nothing known, said so
  const isOf = (e) => e.label === 1 || e.boxed || (e.label === null && e.predicted === 1);
  const images = data.images.map((image) => {
    const entries = image.classes.map((row) => {
      const entry = Object.fromEntries(data.columns.map((name, i) => [name, row[i]]));
      entry.boxed = image.boxes.some((box) => box[4] === entry.class);
      return entry;
    });
    // those that the image has come first, otherwise the order stays
    entries.sort((a, b) => isOf(b) - isOf(a));
    return { ...image, entries };
  });
  const FILTERS = ["class", "hits", "answer", "sort"];
  const MANY = 120;
  let state = {};
  let list = [];
  let lastImage = null;
  let strength = 0.7;

  // What an image and a class are

  const nameOf = (index) => classes[index].name;
  const indexOf = (name) => classes.findIndex((one) => one.name === name);
  const entryOf = (image, index) => image.entries.find((e) => e.class === index);
  const file = (image, what) => `images/${String(image.id).padStart(5, "0")}${what}`;
  const byId = (id) => images.find((image) => String(image.id) === id);
  const verdict = (e) => (e.hit === null ? "none" : e.hit ? "hit" : "miss");
  const answer = (e) => {
    if (e.label === 1) return e.predicted ? "right" : "overlooked";
    return e.label === 0 && e.predicted ? "alarm" : "";
  };
  const number = (value) => (value === null ? "?" : value.toFixed(3));
  const LABELS = new Map([[1, "true"], [0, "false"], [null, "unknown"]]);
  const VERDICTS = { hit: "\u2713 hit", miss: "\u2717 miss", none: "no box" };

  function passes(image, wanted) {
    const one = wanted.class === undefined ? null : indexOf(wanted.class);
    if (one === null && wanted.hits === "none" && image.boxes.length) return false;
    if (one === null && !wanted.answer && (!wanted.hits || wanted.hits === "none")) {
      return true;
    }
    return image.entries.some((e) => {
      if (one !== null && e.class !== one) return false;
      if (wanted.answer ? answer(e) !== wanted.answer : !isOf(e)) return false;
      return !wanted.hits || verdict(e) === wanted.hits;
    });
  }

  function filtered(wanted) {
    const found = images.filter((image) => passes(image, wanted));
    const one = wanted.class === undefined ? null : indexOf(wanted.class);
    const chance = (image) => {
      const some = one === null ? image.entries : [entryOf(image, one)];
      return Math.max(...some.map((e) => (e ? e.probability : -1)));
    };
    if (wanted.sort === "high") found.sort((a, b) => chance(b) - chance(a));
    if (wanted.sort === "low") found.sort((a, b) => chance(a) - chance(b));
    if (wanted.sort === "name") {
      found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    }
    return found;
  }

  // The address

  function read() {
    const found = {};
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
      if (value) found[key] = value;
    }
    if (found.class !== undefined && indexOf(found.class) < 0) delete found.class;
    if (found.image !== undefined && !byId(found.image)) delete found.image;
    return found;
  }

  function address(wanted) {
    const given = Object.entries(wanted).filter(([, value]) => value);
    return "#" + new URLSearchParams(given);
  }

  function go(changes, keep = false) {
    const target = address({ ...state, ...changes });
    if (keep) location.hash = target;
    else location.replace(target);
    render();
  }

  // Pieces of the page

  function make(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key in node && key !== "style") node[key] = value;
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }

  const svgNode = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  function drawing(image, ...nodes) {
    const [rows, cols] = image.size;
    const box = { viewBox: `0 0 ${cols} ${rows}`, preserveAspectRatio: "none" };
    const svg = svgNode("svg", { ...box, "aria-hidden": "true" });
    svg.append(...nodes);
    return svg;
  }

  const rectangle = ([x, y, width, height], attributes) =>
    svgNode("rect", { x, y, width, height, ...attributes });

  const frames = (boxes) => boxes.flatMap((box) => [
    rectangle(box, { class: "halo" }),
    rectangle(box, { class: "line", stroke: classes[box[4]].color }),
  ]);

  function cross(image, e) {
    const arm = Math.max(...image.size) / 26;
    const [x, y] = [e.x + 0.5, e.y + 0.5];
    const d = `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`;
    const lines = ["halo", "cross"].map((name) => svgNode("path", { d, class: name }));
    const node = drawing(image, ...lines);
    node.setAttribute("class", "free");
    return node;
  }

  function stack(image, ...layers) {
    const [rows, cols] = image.size;
    const node = make("div", { className: "stack" }, ...layers);
    node.style.aspectRatio = `${cols} / ${rows}`;
    return node;
  }

  const picture = (image, alt, lazy) =>
    make("img", { loading: lazy ? "lazy" : "eager", decoding: "async", alt, src: file(image, ".jpg") });

  // A file holds a map from its lowest value (clear) to its highest (full color). Over
  // an even layer of the lowest it is the map as the model answered.
  function heat(image, name, map, color, { lazy = false, even = true } = {}) {
    const own = state.scale === "own";
    const base = own || !even ? 0 : strength * map.low;
    const range = own ? strength : strength * (map.high - map.low);
    const layers = [];
    if (base > 0) {
      const layer = make("div");
      layer.style.background = color;
      layer.style.opacity = base;
      layers.push(layer);
    }
    const src = file(image, `-${name}.png`);
    const shown = make("img", { loading: lazy ? "lazy" : "eager", decoding: "async", alt: "", src });
    shown.style.opacity = base < 1 ? range / (1 - base) : 0;
    return [...layers, shown];
  }

  const swatch = (color) => {
    const node = make("span", { className: "swatch" });
    node.style.background = color;
    return node;
  };

  const verdictWord = (e) =>
    make("span", { className: `verdict ${verdict(e)}` }, VERDICTS[verdict(e)]);

  // The grid

  function card(image) {
    const one = state.class === undefined ? null : entryOf(image, indexOf(state.class));
    const shown = one ?? image.entries[0];
    const every = state.boxes === "0" ? [] : image.boxes;
    const boxes = one ? every.filter((box) => box[4] === one.class) : every;
    const own = one ? [one] : image.entries.filter((e) => isOf(e) || e.predicted);
    const layers = shown ? heat(image, shown.class, shown, classes[shown.class].color, { lazy: true }) : [];
    const chips = own.slice(0, 3).map((e) => make("span", { className: "chip" },
      swatch(classes[e.class].color),
      make("span", { className: "word", title: nameOf(e.class) }, nameOf(e.class)),
      e.hit === null ? make("span", { className: "none" }, number(e.probability)) : verdictWord(e)));
    if (own.length > 3) {
      chips.push(make("span", { className: "chip none" }, `and ${own.length - 3} more`));
    }
    const link = make("a", { className: "card", href: address({ ...state, image: String(image.id), show: "", all: "" }) },
      stack(image, picture(image, `Image ${image.name}`, true), ...layers, drawing(image, ...frames(boxes))),
      make("span", { className: "file", title: image.name }, make("bdi", {}, image.name)), ...chips);
    return make("li", {}, link);
  }

  function renderGrid() {
    const one = state.class === undefined ? null : indexOf(state.class);
    const judged = list.flatMap((image) =>
      image.entries.filter((e) => e.hit !== null && (one === null || e.class === one)));
    const hits = judged.filter((e) => e.hit).length;
    const words = `${list.length} of ${images.length} image${images.length === 1 ? "" : "s"}` +
      (judged.length ? `; ${hits} of ${judged.length} maxima lie in a box of their class` : "");
    $("count").textContent = words;
    $("cards").replaceChildren();
    fill(MANY);
    $("nothing").hidden = list.length > 0;
    say(words);
    if (lastImage !== null) focusCard(list.findIndex((image) => image.id === lastImage));
    lastImage = null;
  }

  // Cards are made as far as somebody scrolls: thousands at once take seconds.
  function fill(end) {
    const cards = $("cards");
    cards.append(...list.slice(cards.children.length, end).map(card));
    $("rest").hidden = cards.children.length >= list.length;
    further.unobserve($("rest"));
    further.observe($("rest")); // looks again, should it still be in sight
  }

  const further = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) fill($("cards").children.length + MANY);
  }, { rootMargin: "1200px" });

  function focusCard(place) {
    fill(place + 1);
    $("cards").children[place]?.firstChild.focus();
  }

  // One image

  const shownClass = (image) => {
    if (state.all) return null;
    const asked = [state.show, state.class].map((name) => name && entryOf(image, indexOf(name)));
    return asked.find(Boolean) ?? image.entries[0] ?? null;
  };

  function figure(title, color, node, text = "") {
    const caption = make("figcaption", {}, ...(color ? [swatch(color)] : []), title);
    const note = text ? [make("p", {}, text)] : [];
    return make("figure", {}, caption, node, ...note);
  }

  const range = (map) => {
    const values = `lowest ${number(map.low)}, highest ${number(map.high)}`;
    return state.scale === "own" ? `From its lowest to its highest value (${values}).`
      : `${data.scaling} (${values}).`;
  };

  function maskPanel(image) {
    const filled = image.boxes.map((box) =>
      rectangle(box, { style: `fill:${classes[box[4]].color};fill-opacity:${image.mask ? 0.5 : 0.85}` }));
    const layers = image.mask ? [make("img", { alt: "", src: file(image, "-mask.png") })] : [];
    const words = image.mask ? "White: the pixel mask. " : "";
    const alt = `${image.boxes.length} boxes as a mask`;
    const node = stack(image, ...layers, drawing(image, ...filled));
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", alt);
    return figure("Box mask", null, node,
      words + (image.boxes.length ? "Filled: the boxes of every class." : "No boxes."));
  }

  function attention(image, e) {
    const boxes = state.boxes === "0" ? [] : image.boxes;
    if (e) {
      const own = frames(boxes.filter((box) => box[4] === e.class));
      const peak = state.maximum === "0" ? [] : [cross(image, e)];
      const color = classes[e.class].color;
      return figure(`${data.attention}: ${nameOf(e.class)}`, color, stack(image,
        picture(image, `Attention of ${nameOf(e.class)} over ${image.name}`),
        ...heat(image, e.class, e, color), drawing(image, ...own), ...peak), range(e));
    }
    const present = image.entries.filter((one) => isOf(one) || one.predicted);
    const order = (present.length ? present : [...image.entries]).sort((a, b) => a.high - b.high);
    const layers = order.flatMap((one) =>
      heat(image, one.class, one, classes[one.class].color, { even: false }));
    return figure(`${data.attention}: all classes`, null, stack(image,
      picture(image, `Attention of all classes over ${image.name}`), ...layers,
      drawing(image, ...frames(boxes))),
      `${present.length ? "Every class that is labeled, boxed or predicted" : "Every class"}: ` +
      "what is above the lowest value of its map, the hottest class on top.");
  }

  function renderPanels(image, e) {
    const boxes = state.boxes === "0" ? [] : frames(image.boxes);
    const panels = [
      figure("Input", null, stack(image, picture(image, `Input ${image.name}`), drawing(image, ...boxes)),
        image.boxes.length ? "With its boxes, in the colors of their classes." : "No boxes."),
      maskPanel(image),
    ];
    if (image.abnormality) {
      const chance = image.abnormality.probability;
      panels.push(figure("Abnormality attention", null, stack(image,
        picture(image, `Abnormality attention over ${image.name}`),
        ...heat(image, "abnormality", image.abnormality, data.abnormality)),
        (chance === null ? "" : `Probability ${number(chance)}. `) + range(image.abnormality)));
    }
    $("panels").replaceChildren(...panels, attention(image, e));
  }

  function classRow(e, place, chosen) {
    const threshold = classes[e.class].threshold;
    const bar = make("span", { className: "bar" },
      make("i", { className: e.predicted ? "said" : "" }));
    bar.firstChild.style.width = `${100 * e.probability}%`;
    if (threshold !== null) {
      const tick = make("b", { title: `threshold ${number(threshold)}` });
      tick.style.left = `calc(${100 * threshold}% - 1px)`;
      bar.append(tick);
    }
    const row = make("button", { type: "button", className: "row", "aria-pressed": chosen },
      make("span", { className: "key" }, place < 9 ? String(place + 1) : ""),
      swatch(classes[e.class].color), make("span", { className: "title" }, nameOf(e.class)), bar,
      make("span", { className: "number" }, number(e.probability)),
      make("span", { className: "label" }, make("span", { className: "hidden" }, "label "), LABELS.get(e.label)), verdictWord(e));
    row.dataset.place = place;
    return make("li", {}, row);
  }

  function renderClasses(image, chosen) {
    const focused = document.activeElement?.closest?.("#classes") !== null;
    const all = make("button", { type: "button", className: "row", "aria-pressed": chosen === null },
      make("span", { className: "key" }, "0"), make("span"), make("span", { className: "title" }, "all classes"));
    all.dataset.place = "all";
    const rows = image.entries.map((e, place) => classRow(e, place, e === chosen));
    $("classes").replaceChildren(...rows, make("li", {}, all));
    const rest = classes.length - rows.length;
    $("more").textContent = rest ? `${rest} more classes were less likely and have no map here.` : "";
    const now = $("classes").querySelector('[aria-pressed="true"]');
    if (focused && now) now.focus();
  }

  function renderDetail() {
    const image = byId(state.image);
    const place = list.indexOf(image);
    const chosen = shownClass(image);
    const position = place < 0 ? `not among ${list.length}` : `${place + 1} of ${list.length}`;
    $("name").textContent = image.name;
    $("position").textContent = position;
    $("previous").disabled = $("next").disabled = !list.some((one) => one !== image);
    const words = FILTERS.filter((key) => key !== "sort" && state[key]).map((key) =>
      key === "class" ? state.class : $(key).selectedOptions[0].textContent);
    $("filtered").textContent = words.length ? `Filter: ${words.join("; ")}` : "";
    renderPanels(image, chosen);
    renderClasses(image, chosen);
    const said = chosen ? `${nameOf(chosen.class)} ${number(chosen.probability)}, ${VERDICTS[verdict(chosen)].replace(/^\W+/, "")}` : "all classes";
    say(`Image ${position}: ${image.name}; ${said}`);
    if (lastImage === null) {
      scrollTo(0, 0);
      $("name").focus();
    }
    lastImage = image.id;
    for (const other of [place - 1, place + 1]) {
      if (place >= 0 && list[other]) new Image().src = file(list[other], ".jpg");
    }
  }

  const say = (words) => { $("status").textContent = words; };

  function renderFilters() {
    const counts = classes.map((_, i) => images.filter((image) => {
      const e = entryOf(image, i);
      return e && isOf(e);
    }).length);
    const options = classes.map((one, i) => [one.name, counts[i]])
      .filter(([name, count]) => count || name === state.class)
      .map(([name, count]) => make("option", { value: name }, `${name} (${count})`));
    $("class").replaceChildren(make("option", { value: "" }, "all"), ...options);
  }

  let drawn = null;
  function render() {
    if (drawn === location.hash) return;
    drawn = location.hash;
    state = read();
    renderFilters.done ??= (renderFilters(), true);
    if (state.class && ![...$("class").options].some((o) => o.value === state.class)) renderFilters();
    for (const key of FILTERS) $(key).value = state[key] ?? "";
    $("scale").value = state.scale === "own" ? "own" : "";
    for (const key of ["boxes", "maximum"]) $(key).checked = state[key] !== "0";
    list = filtered(state);
    const open = state.image !== undefined;
    $("grid").hidden = $("filters").hidden = open;
    $("detail").hidden = $("walk").hidden = !open;
    if (open) renderDetail();
    else renderGrid();
    document.title = open ? `${byId(state.image).name} - ${data.title}` : data.title;
  }

  // What people do

  function walk(step) {
    const place = list.indexOf(byId(state.image));
    const last = list.length - 1;
    const goal = { first: 0, last, next: place + 1, previous: place < 0 ? last : place - 1 }[step];
    const image = list[Math.min(Math.max(goal, 0), last)];
    if (image) go({ image: String(image.id), show: "" });
  }

  const show = (e) =>
    go(e === null ? { show: "", all: "1" } : { show: nameOf(e.class), all: "" });

  function chooseClass(step) {
    const image = byId(state.image);
    const choices = [...image.entries, null];
    const place = choices.indexOf(shownClass(image));
    show(choices[(place + step + choices.length) % choices.length]);
  }

  function moveFocus(step) {
    const place = [...$("cards").children].indexOf(document.activeElement.closest("li"));
    const last = list.length - 1;
    const goal = { first: 0, last, next: place + 1, previous: place - 1 }[step];
    focusCard(Math.min(Math.max(goal, 0), last));
  }

  const close = () => go({ image: "", show: "", all: "" });
  const toggle = (key) => go({ [key]: state[key] === "0" ? "" : "0" });
  const STEPS = {
    ArrowRight: "next", j: "next", ArrowLeft: "previous", k: "previous", Home: "first", End: "last",
  };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const typing = event.target.closest?.("select, input[type=range]");
    if (typing && event.key !== "Escape") return;
    const open = state.image !== undefined;
    const digit = /^[0-9]$/.test(event.key) ? Number(event.key) : null;
    if (event.key === "?") $("help").showModal();
    else if (STEPS[event.key]) (open ? walk : moveFocus)(STEPS[event.key]);
    else if (event.key === "b") toggle("boxes");
    else if (event.key === "m") toggle("maximum");
    else if (event.key === "s") go({ scale: state.scale === "own" ? "" : "own" });
    else if (!open) return;
    else if (event.key === "Escape") close();
    else if (event.key === "ArrowDown") chooseClass(1);
    else if (event.key === "ArrowUp") chooseClass(-1);
    else if (digit === 0) show(null);
    else if (digit !== null) {
      const e = byId(state.image).entries[digit - 1];
      if (e) show(e);
    } else return;
    event.preventDefault();
  }

  for (const key of FILTERS) {
    $(key).addEventListener("change", () => go({ [key]: $(key).value }, true));
  }
  $("reset").addEventListener("click", (event) => {
    event.preventDefault();
    go(Object.fromEntries(FILTERS.map((key) => [key, ""])), true);
  });
  $("back").addEventListener("click", close);
  $("next").addEventListener("click", () => walk("next"));
  $("previous").addEventListener("click", () => walk("previous"));
  $("keys").addEventListener("click", () => $("help").showModal());
  $("boxes").addEventListener("change", () => toggle("boxes"));
  $("maximum").addEventListener("change", () => toggle("maximum"));
  $("scale").addEventListener("change", () => go({ scale: $("scale").value }));
  $("strength").addEventListener("input", () => {
    strength = Number($("strength").value);
    const image = byId(state.image);
    if (image) renderPanels(image, shownClass(image));
  });
  $("strength").addEventListener("change", () => {
    if (state.image === undefined) renderGrid();
  });
  $("classes").addEventListener("click", (event) => {
    const row = event.target.closest("[data-place]");
    if (row) show(byId(state.image).entries[row.dataset.place] ?? null);
  });
  document.addEventListener("keydown", onKey);
  addEventListener("hashchange", render);
  if (classes.some((one) => one.threshold !== null)) $("chances").textContent += " (line: threshold)";
  render();
})();
