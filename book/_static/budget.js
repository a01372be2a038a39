/* The live figure of the chapter on planning: what a target costs over a model's life.

   The laws are the book's, their parameters come from the page (the chapter computes and embeds
   them). Nothing is asked of any host. For each training budget C the script finds the model size N
   (with D = C / 6N) and the samples k that reach the target at the least total
   C + Q * 2N (P + kT), or 2Nk (P + T) without a shared cache. Thin lines are the same question put
   to laws refitted to resampled models. A plan is inside where N and D lie in the hull of the
   checkpoints and k is not above the largest measured near by, as t2lib.planning.support has it. */
(() => {
  "use strict";

  // ------------------------------------------------------------------ Beta distributions

  /** log Gamma(x + a) - log Gamma(x), without the cancellation of two large logarithms. */
  function logGammaRatio(x, a) {
    let product = 1;
    for (; x < 20; x += 1) product *= x / (x + a);
    const tail = (y) => {
      const z = 1 / (y * y);
      return (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z / 1680))) / y;
    };
    const stirling = (x + a - 0.5) * Math.log1p(a / x) + a * Math.log(x) - a;
    return Math.log(product) + stirling + tail(x + a) - tail(x);
  }

  /** Derivative of log Gamma. */
  function digamma(x) {
    let shift = 0;
    for (; x < 12; x += 1) shift -= 1 / x;
    const z = 1 / (x * x);
    const series = 1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z / 132)));
    return shift + Math.log(x) - 0.5 / x - z * series;
  }

  /** Derivative of digamma. */
  function trigamma(x) {
    let shift = 0;
    for (; x < 12; x += 1) shift += 1 / (x * x);
    const z = 1 / (x * x);
    const series = 1 / 6 - z * (1 / 30 - z * (1 / 42 - z * (1 / 30 - (z * 5) / 66)));
    return shift + 1 / x + z / 2 + (z / x) * series;
  }

  /** log(1 - pass@k) of a Beta(a, b): log B(a, b + k) - log B(a, b). */
  const logFail = (a, b, k) => logGammaRatio(b, a) - logGammaRatio(b + k, a);

  /** Newton's steps on a function that is nearly straight, kept from leaping. */
  function newton(start, step) {
    let x = start;
    for (let i = 0; i < 100; i += 1) {
      const move = Math.max(-3, Math.min(3, step(x)));
      x += move;
      if (Math.abs(move) < 1e-12 * Math.max(1, Math.abs(x))) break;
    }
    return x;
  }

  /** a with digamma(a + b) - digamma(a) = loss: the mean of -log p. In logarithms it is nearly straight. */
  function shapeFromLoss(b, loss) {
    return Math.exp(
      newton(-Math.log(loss), (u) => {
        const a = Math.exp(u);
        const mean = digamma(a + b) - digamma(a);
        const slope = ((trigamma(a + b) - trigamma(a)) * a) / mean;
        return -(Math.log(mean) - Math.log(loss)) / slope;
      })
    );
  }

  /** Least k from 1 on with pass@k at the target. */
  function samplesFor(a, b, target) {
    const wanted = -Math.log1p(-target);
    if (-logFail(a, b, 1) >= wanted) return 1;
    const u = newton(0, (v) => {
      const k = Math.exp(v);
      const lost = -logFail(a, b, k);
      const slope = ((digamma(a + b + k) - digamma(b + k)) * k) / lost;
      return -(Math.log(lost) - Math.log(wanted)) / slope;
    });
    return Math.exp(u);
  }

  // ------------------------------------------------------------------ laws

  const within = (x, low, high) => Math.max(low, Math.min(high, x));

  /** Beta parameters (a, b) of a law at N parameters and D tokens. */
  function shape(law, N, D) {
    const loss = law.E + law.A * N ** -law.alpha + law.B * D ** -law.beta;
    if (law.kind === "consistent") {
      const b = Math.exp(within(law.c0 + law.c1 * loss, -40, 40));
      return [shapeFromLoss(b, loss), b];
    }
    const [middle, steepness, ceiling, nu0, nu1] = law.theta;
    const mean = within(ceiling / (1 + Math.exp(steepness * (loss - middle))), 1e-300, 1 - 1e-12);
    const nu = Math.exp(within(nu0 + nu1 * loss, -40, 40));
    return [mean * nu, (1 - mean) * nu];
  }

  /** Pass@k of a law at N parameters, D tokens and k samples. */
  const passAt = (law, { N, D, k }) => -Math.expm1(logFail(...shape(law, N, D), k));

  /** Central 90 % of what the resampled laws forecast for a plan; null where there are none. */
  function forecast(law, plan) {
    if (!law.draws.length || !Number.isFinite(plan.k)) return null;
    const values = law.draws.map((draw) => passAt(draw, plan)).sort((x, y) => x - y);
    const quantile = (q) => {
      const at = q * (values.length - 1), i = Math.floor(at);
      return values[i] + (at - i) * ((values[i + 1] ?? values[i]) - values[i]);
    };
    return [quantile(0.05), quantile(0.95)];
  }

  // ------------------------------------------------------------------ what was measured

  const ROUNDING = 1e-5; // the hull's corners come with six digits

  /** The place of the hull nearest to (x, y), all in logarithms; (x, y) itself inside. */
  function nearestPlace(hull, x, y) {
    let inside = true, best = [Infinity, x, y];
    hull.forEach(([x0, y0], i) => {
      const [x1, y1] = hull[(i + 1) % hull.length];
      const [dx, dy] = [x1 - x0, y1 - y0];
      if (dx * (y - y0) - dy * (x - x0) < -ROUNDING * Math.hypot(dx, dy)) inside = false;
      const share = within(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1);
      const foot = [x0 + share * dx, y0 + share * dy];
      const distance = Math.hypot(x - foot[0], y - foot[1]);
      if (distance < best[0]) best = [distance, ...foot];
    });
    return inside ? [x, y] : best.slice(1);
  }

  /** Least of the largest k of the nearest checkpoints on the four sides of a place. */
  function largestK(checkpoints, x, y) {
    let most = Infinity;
    for (const [sx, sy] of [[1, 1], [1, -1], [-1, 1], [-1, -1]]) {
      let nearest = [Infinity, Infinity];
      for (const [cx, cy, k] of checkpoints) {
        if (sx * (cx - x) < -ROUNDING || sy * (cy - y) < -ROUNDING) continue;
        const distance = Math.hypot(cx - x, cy - y);
        if (distance < nearest[0]) nearest = [distance, k];
      }
      most = Math.min(most, nearest[1]);
    }
    return most;
  }

  /** The largest k measured near a plan, and in words how far the plan lies outside. */
  function support(law, plan) {
    const place = [Math.log(plan.N), Math.log(plan.D)];
    const near = nearestPlace(law.hull, ...place);
    const most = largestK(law.checkpoints, ...near);
    const beyond = ["N", "D"].flatMap((name, i) => Math.abs(place[i] - near[i]) > ROUNDING
      ? [`${name} is ${power(Math.exp(place[i] - near[i]))} times the nearest measured`] : []);
    if (plan.k > most * (1 + ROUNDING)) {
      beyond.push(`k is ${power(plan.k / most)} times the largest measured near by (${whole(most)})`);
    }
    return { most, beyond };
  }

  /** A law with its hull and checkpoints in logarithms. */
  function prepared(law) {
    const logs = ([N, D, ...rest]) => [Math.log(N), Math.log(D), ...rest];
    return { ...law, hull: law.support.hull.map(logs), checkpoints: law.support.checkpoints.map(logs) };
  }

  // ------------------------------------------------------------------ search

  /** Where f is least over [low, high]: a grid finds the valley, golden sections its bottom. */
  function least(f, low, high, step, tolerance) {
    const n = Math.max(2, Math.ceil((high - low) / step));
    let best = [low, Infinity];
    for (let i = 0; i <= n; i += 1) {
      const x = low + ((high - low) * i) / n;
      const value = f(x);
      if (value < best[1]) best = [x, value];
    }
    let left = Math.max(low, best[0] - (high - low) / n);
    let right = Math.min(high, best[0] + (high - low) / n);
    const golden = (Math.sqrt(5) - 1) / 2;
    let x1 = right - golden * (right - left), x2 = left + golden * (right - left);
    let f1 = f(x1), f2 = f(x2);
    while (right - left > tolerance) {
      if (f1 <= f2) {
        [right, x2, f2] = [x2, x1, f1];
        x1 = right - golden * (right - left);
        f1 = f(x1);
      } else {
        [left, x1, f1] = [x1, x2, f2];
        x2 = left + golden * (right - left);
        f2 = f(x2);
      }
    }
    const found = (left + right) / 2;
    return f(found) <= best[1] ? found : best[0];
  }

  /** The plan at N for a training budget: tokens, samples and FLOPs, total Infinity where hopeless. */
  function planAt(s, C, N) {
    const D = C / (6 * N);
    const [a, b] = shape(s.law, N, D);
    const k = samplesFor(a, b, s.target);
    const query = 2 * N * (s.shared ? s.prompt + k * s.answer : k * (s.prompt + s.answer));
    const total = C + s.queries * query;
    return { C, N, D, k, query, total: Number.isFinite(total) ? total : Infinity };
  }

  /** The cheapest way to reach the target with a given training budget. */
  function bestAt(s, C, step = 0.3, tolerance = 1e-8) {
    const query = (x) => planAt(s, C, Math.exp(x)).query;
    const x = least(query, Math.log(1e3), Math.log(C / 6) - 1e-9, step, tolerance);
    return planAt(s, C, Math.exp(x));
  }

  /** The same, as good as the eye can tell. */
  const roughlyBestAt = (s, C) => bestAt(s, C, 1, 1e-3);

  /** The cheapest way of all: the training budget is searched too. */
  function bestOfAll(s) {
    const [low, high] = [Math.log(1e12), Math.log(1e30)];
    const rough = least((x) => roughlyBestAt(s, Math.exp(x)).total, low, high, 1, 0.1);
    const total = (x) => bestAt(s, Math.exp(x), 1, 1e-6).total;
    return bestAt(s, Math.exp(least(total, rough - 0.3, rough + 0.3, 0.3, 1e-5)));
  }

  // ------------------------------------------------------------------ words

  /** 1.2e+21 as 1.2 x 10^21, in Unicode. */
  function power(x) {
    if (x >= 0.01 && x < 1e5) return String(Number(x.toPrecision(3)));
    const [mantissa, exponent] = x.toExponential(1).split("e");
    const raised = String(Number(exponent)).replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");
    return `${mantissa} × 10${raised}`;
  }

  const whole = (x) => Math.round(x).toLocaleString("en");

  function count(x) {
    const units = [[1e15, null], [1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]];
    for (const [size, letter] of units) {
      if (x >= size) return letter ? Number((x / size).toPrecision(3)) + letter : power(x);
    }
    return power(x);
  }

  // ------------------------------------------------------------------ the form

  const CONTROLS = [
    { name: "train", label: "Training compute C", unit: "FLOPs", min: 17, max: 25, step: 0.1, log: true },
    { name: "queries", label: "Queries Q in all", unit: "", min: 0, max: 13, step: 0.1, log: true },
    { name: "target", label: "Target pass@k", unit: "", min: 0.02, max: 0.98, step: 0.01 },
  ];
  const NUMBERS = [
    { name: "prompt", label: "Prompt tokens P", min: 0, max: 1000000 },
    { name: "answer", label: "Answer tokens T", min: 1, max: 1000000 },
  ];

  /** An element with attributes and children. */
  function make(tag, attributes = {}, ...children) {
    const svg = ["svg", "g", "path", "line", "text", "circle", "rect", "title", "desc", "tspan"];
    const element = svg.includes(tag)
      ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function buildForm(root, data) {
    const form = make("form", { class: "t2-live-form", "aria-label": "Budget" });
    form.addEventListener("submit", (event) => event.preventDefault());
    const field = (name, label, input, output) =>
      form.append(
        make("div", { class: "t2-live-field" },
          make("label", { for: `t2-${name}` }, label), ...(output ? [output] : []), input)
      );
    const select = make("select", { id: "t2-law", name: "law" });
    data.laws.forEach((law, i) => select.append(make("option", { value: i }, law.label)));
    field("law", "Law and task", select);
    for (const c of CONTROLS) {
      const input = make("input", { id: `t2-${c.name}`, name: c.name, type: "range", min: c.min,
        max: c.max, step: c.step, value: data.start[c.name] });
      const output = make("output", { for: `t2-${c.name}`, id: `t2-${c.name}-out` });
      field(c.name, c.label, input, output);
    }
    for (const c of NUMBERS) {
      field(c.name, c.label, make("input", { id: `t2-${c.name}`, name: c.name, type: "number",
        min: c.min, max: c.max, step: 1, value: data.start[c.name], inputmode: "numeric" }));
    }
    const box = make("input", { id: "t2-shared", name: "shared", type: "checkbox" });
    box.checked = data.start.shared;
    form.append(make("div", { class: "t2-live-field t2-live-check" }, box,
      make("label", { for: "t2-shared" }, "Samples share the prompt's cache")));
    form.append(make("button", { type: "button", class: "t2-live-reset" }, "Reset"));
    form.append(make("p", { class: "t2-live-note", role: "status" }));
    root.append(form);
    return form;
  }

  /** Puts the form back to how the page began. */
  function reset(form, data) {
    form.elements.law.value = 0;
    for (const c of [...CONTROLS, ...NUMBERS]) form.elements[c.name].value = data.start[c.name];
    form.elements.shared.checked = data.start.shared;
  }

  /** Settings of the form; numbers out of range are taken to the nearest end, and it is noted. */
  function read(form, data) {
    const value = (name) => Number(form.elements[name].value);
    const notes = [];
    const taken = (c) => {
      const text = form.elements[c.name].value;
      const x = Number.isFinite(value(c.name)) ? value(c.name) : c.min;
      const used = within(x, c.min, c.max);
      if (text === "") notes.push(`${c.label}: no number given, ${used} is used.`);
      else if (used !== x) {
        const words = x > used ? "the most" : "the least";
        notes.push(`${c.label}: ${power(x)} is out of range, ${words} allowed, ${whole(used)}, is used.`);
      }
      return used;
    };
    return {
      law: data.laws[value("law")],
      C: 10 ** value("train"),
      queries: 10 ** value("queries"),
      target: value("target"),
      prompt: taken(NUMBERS[0]),
      answer: taken(NUMBERS[1]),
      shared: form.elements.shared.checked,
      notes,
    };
  }

  // ------------------------------------------------------------------ the chart

  const OTHERS = 12; // thin lines; the interval in the table takes all resampled laws
  const SIZE = { width: 460, height: 370, left: 66, right: 22, top: 12, bottom: 52 };

  function drawChart(svg, s, curve, chosen, cheapest) {
    const finite = curve.filter((p) => p.total < Infinity);
    const decades = (x) => Math.log10(x);
    const [x0, x1] = [CONTROLS[0].min, CONTROLS[0].max];
    const y0 = Math.floor(decades(cheapest.total) - 1);
    const y1 = Math.max(x1, y0 + 4);
    const X = (v) => SIZE.left + ((v - x0) / (x1 - x0)) * (SIZE.width - SIZE.left - SIZE.right);
    const Y = (v) => SIZE.height - SIZE.bottom - ((v - y0) / (y1 - y0)) * (SIZE.height - SIZE.top - SIZE.bottom);
    const raise = (v) => power(10 ** v).replace("1.0 × ", "");
    const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("");
    const parts = [];
    for (let v = x0; v <= x1; v += 1) {
      parts.push(make("line", { x1: X(v), x2: X(v), y1: Y(y0), y2: Y(y1), class: "grid" }));
      if ((v - x0) % 2 === 0) parts.push(make("text", { x: X(v), y: Y(y0) + 18, "text-anchor": "middle" }, raise(v)));
    }
    for (let v = y0; v <= y1; v += 1) {
      parts.push(make("line", { x1: X(x0), x2: X(x1), y1: Y(v), y2: Y(v), class: "grid" }));
      if ((v - y0) % Math.ceil((y1 - y0) / 6) === 0) {
        parts.push(make("text", { x: X(x0) - 7, y: Y(v) + 4, "text-anchor": "end" }, raise(v)));
      }
    }
    parts.push(make("text", { x: (X(x0) + X(x1)) / 2, y: SIZE.height - 8, "text-anchor": "middle", class: "name" },
      "training compute C (FLOPs)"));
    parts.push(make("text", { x: 14, y: (Y(y0) + Y(y1)) / 2, "text-anchor": "middle", class: "name",
      transform: `rotate(-90 14 ${(Y(y0) + Y(y1)) / 2})` }, "training and all queries (FLOPs)"));

    const plot = make("g", { "clip-path": "url(#t2-clip)" });
    const known = finite.map((p) => ({ at: [decades(p.C), decades(p.total)], inside: support(s.law, p).beyond.length === 0 }));
    const others = make("g", { class: "others" });
    plot.append(others);
    plot.append(make("path", { d: path([[x0, x0], [x1, x1]]), class: "training" }));
    plot.append(make("path", { d: path(known.map((p) => p.at)), class: "beyond" }));
    let run = [];
    for (const p of [...known, { inside: false }]) {
      if (p.inside) run.push(p.at);
      else {
        if (run.length > 1) plot.append(make("path", { d: path(run), class: "fitted" }));
        run = [];
      }
    }
    const place = (plan) => [X(decades(plan.C)).toFixed(1), Y(decades(plan.total)).toFixed(1)];
    const [cx, cy] = place(cheapest);
    plot.append(make("path", { d: `M${cx} ${cy - 8}l7 8l-7 8l-7 -8z`, class: "cheapest" }));
    if (chosen.total < Infinity) {
      const [px, py] = place(chosen);
      plot.append(make("circle", { cx: px, cy: py, r: 6, class: "chosen" }));
    }
    const clip = document.createElementNS("http://www.w3.org/2000/svg", "clipPath");
    clip.id = "t2-clip";
    clip.append(make("rect", { x: X(x0), y: Y(y1), width: X(x1) - X(x0), height: Y(y0) - Y(y1) }));
    svg.querySelectorAll(":scope > :not(title):not(desc)").forEach((old) => old.remove());
    svg.append(clip, ...parts, plot);
    return (points) => others.append(make("path", { class: "other",
      d: path(points.filter((p) => p.total < Infinity).map((p) => [decades(p.C), decades(p.total)])) }));
  }

  const KEY = [
    ["fitted", "total, plan inside what was measured"],
    ["beyond", "total, plan outside"],
    ["other", "by laws of resampled models"],
    ["training", "training alone"],
    ["chosen", "your training compute"],
    ["cheapest", "cheapest"],
  ];

  function buildKey() {
    const list = make("ul", { class: "t2-live-key" });
    for (const [kind, text] of KEY) {
      const mark = make("svg", { viewBox: "0 0 28 14", width: 28, height: 14, "aria-hidden": "true" });
      if (kind === "chosen") mark.append(make("circle", { cx: 14, cy: 7, r: 5, class: kind }));
      else if (kind === "cheapest") mark.append(make("path", { d: "M14 0l7 7l-7 7l-7 -7z", class: kind }));
      else mark.append(make("path", { d: "M0 7L28 7", class: kind }));
      list.append(make("li", {}, mark, ` ${text}`));
    }
    return list;
  }

  // ------------------------------------------------------------------ the answer

  const ROWS = [
    ["C", "training C, FLOPs", power],
    ["N", "parameters N", count],
    ["D", "training tokens D", count],
    ["ratio", "tokens per parameter", power],
    ["k", "samples k", power],
    ["most", "largest k measured near by", whole],
    ["forecast", "pass@k, 90 % of laws", ([low, high]) => `${low.toFixed(2)}–${high.toFixed(2)}`],
    ["query", "one query, FLOPs", power],
    ["total", "all together, FLOPs", power],
    ["share", "share of queries", (x) => `${Math.round(100 * x)} %`],
  ];

  function buildTable() {
    const head = make("tr", {}, make("th", { scope: "col" }, "plan"),
      make("th", { scope: "col" }, "yours"), make("th", { scope: "col" }, "cheapest"));
    const body = make("tbody");
    for (const [name, label] of ROWS) {
      body.append(make("tr", {}, make("th", { scope: "row" }, label),
        make("td", { "data-plan": "chosen", "data-name": name }),
        make("td", { "data-plan": "cheapest", "data-name": name })));
    }
    return make("table", { class: "t2-live-table" }, make("thead", {}, head), body);
  }

  function fill(table, s, plans) {
    for (const cell of table.querySelectorAll("td")) {
      const plan = plans[cell.dataset.plan];
      const all = { ...plan, ratio: plan.D / plan.N, share: 1 - plan.C / plan.total,
        most: support(s.law, plan).most, forecast: forecast(s.law, plan) };
      const value = all[cell.dataset.name];
      const [, , write] = ROWS.find(([name]) => name === cell.dataset.name);
      const hopeless = plan.total === Infinity;
      cell.dataset.value = value;
      if (cell.dataset.name === "forecast") cell.textContent = value ? write(value) : "not known";
      else cell.textContent = Number.isFinite(value) ? write(value) : "out of reach";
      if (hopeless && ["most", "forecast"].includes(cell.dataset.name)) cell.textContent = "–";
    }
  }

  function verdict(s, chosen, cheapest) {
    const words = [];
    const factor = chosen.total / cheapest.total;
    if (!(chosen.total < Infinity)) words.push("This training compute cannot reach the target.");
    else if (factor < 1.05) words.push("Your training compute is within 5 % of the cheapest plan.");
    else {
      const more = cheapest.C > chosen.C;
      words.push(
        `${more ? "Train more and sample less" : "Train less and sample more"}: the cheapest plan takes ` +
        `${power(factor)} times less in all.`
      );
    }
    const { beyond } = support(s.law, cheapest);
    words.push(beyond.length
      ? `The cheapest plan lies outside what was measured: ${beyond.join(", ")}.`
      : "The cheapest plan lies inside what was measured.");
    const ends = CONTROLS[0];
    if (cheapest.C < 10 ** ends.min || cheapest.C > 10 ** ends.max) words.push("It lies off the chart.");
    if (!s.law.draws.length) words.push("This law was not refitted to resampled models: its uncertainty is not known here.");
    return words.join(" ");
  }

  // ------------------------------------------------------------------ putting it together

  function start(root) {
    const data = JSON.parse(document.getElementById("t2-live-laws").textContent);
    data.laws = data.laws.map(prepared);
    root.textContent = "";
    const form = buildForm(root, data);
    const svg = make("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img",
      class: "t2-live-chart", "aria-labelledby": "t2-live-title t2-live-desc" },
      make("title", { id: "t2-live-title" }, "Total compute to reach the target against training compute"),
      make("desc", { id: "t2-live-desc" }));
    const says = make("p", { class: "t2-live-verdict", "aria-live": "polite" });
    const table = buildTable();
    const words = make("div", { class: "t2-live-words" }, says, buildKey());
    root.append(svg, words, table);

    /** Thin lines, one law after the other, so that the controls never wait for them. */
    let asked = 0;
    const addOthers = (s, add) => {
      const mine = (asked += 1);
      const draws = s.law.draws.slice(0, OTHERS);
      const next = (i) => {
        if (mine !== asked) return;
        if (i === draws.length) {
          root.dataset.others = i;
          return;
        }
        const other = { ...s, law: draws[i] };
        const points = [];
        for (let v = CONTROLS[0].min; v <= CONTROLS[0].max + 1e-9; v += 0.4) points.push(roughlyBestAt(other, 10 ** v));
        add(points);
        setTimeout(next, 0, i + 1);
      };
      setTimeout(next, 0, 0);
    };

    const update = () => {
      const s = read(form, data);
      for (const c of CONTROLS) {
        const x = Number(form.elements[c.name].value);
        const text = c.log ? power(10 ** x) : x.toFixed(2);
        form.querySelector(`#t2-${c.name}-out`).textContent = `${text} ${c.unit}`;
        form.elements[c.name].setAttribute("aria-valuetext", `${text} ${c.unit}`);
      }
      const chosen = bestAt(s, s.C), cheapest = bestOfAll(s);
      const curve = [];
      for (let v = CONTROLS[0].min; v <= CONTROLS[0].max + 1e-9; v += 0.1) curve.push(roughlyBestAt(s, 10 ** v));
      addOthers(s, drawChart(svg, s, curve, chosen, cheapest));
      fill(table, s, { chosen, cheapest });
      const note = form.querySelector(".t2-live-note");
      if (note.textContent !== s.notes.join(" ")) note.textContent = s.notes.join(" ");
      says.textContent = verdict(s, chosen, cheapest);
      svg.querySelector("desc").textContent = says.textContent;
      root.dataset.ready = JSON.stringify({ C: s.C, queries: s.queries, target: s.target,
        prompt: s.prompt, answer: s.answer, shared: s.shared, law: data.laws.indexOf(s.law) });
    };
    let waiting = 0;
    const later = () => {
      asked += 1; // lines that are still being drawn belong to the values before
      delete root.dataset.ready;
      delete root.dataset.others;
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(update);
    };
    form.addEventListener("input", later);
    form.querySelector(".t2-live-reset").addEventListener("click", () => {
      reset(form, data);
      later();
    });
    update();
  }

  const root = document.getElementById("t2-live");
  if (root) start(root);
})();
