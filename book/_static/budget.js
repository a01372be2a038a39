/* The live figure of the chapter on planning: what a target costs over a model's life.

   The laws are the book's, their parameters come from the page (the chapter computes and embeds
   them). Nothing is asked of any host. For each training budget C the script finds the model size N
   (with D = C / 6N) and the samples k that reach the target at the least total
   C + Q * 2N (P + kT), or 2Nk (P + T) without a shared cache. */
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

  function count(x) {
    const units = [[1e15, null], [1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]];
    for (const [size, letter] of units) {
      if (x >= size) return letter ? Number((x / size).toPrecision(3)) + letter : power(x);
    }
    return power(x);
  }

  /** Which of N, D and k lie outside what the law was fitted to, and how far. */
  function outside(law, plan) {
    return ["N", "D", "k"].flatMap((name) => {
      const [low, high] = law.fitted[name];
      if (plan[name] > high * 1.001) return [`${name} ${power(plan[name] / high)} times above`];
      if (plan[name] < low * 0.999) return [`${name} ${power(low / plan[name])} times below`];
      return [];
    });
  }

  // ------------------------------------------------------------------ the form

  const CONTROLS = [
    { name: "train", label: "Training compute C", unit: "FLOPs", min: 17, max: 25, step: 0.1, log: true },
    { name: "queries", label: "Queries Q over the model's life", unit: "", min: 0, max: 13, step: 0.1, log: true },
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
    root.append(form);
    return form;
  }

  /** Settings of the form; numbers out of range are taken to the nearest end. */
  function read(form, data) {
    const value = (name) => Number(form.elements[name].value);
    const whole = (c) => {
      const x = value(c.name);
      return within(Number.isFinite(x) ? x : c.min, c.min, c.max);
    };
    return {
      law: data.laws[value("law")],
      C: 10 ** value("train"),
      queries: 10 ** value("queries"),
      target: value("target"),
      prompt: whole(NUMBERS[0]),
      answer: whole(NUMBERS[1]),
      shared: form.elements.shared.checked,
    };
  }

  // ------------------------------------------------------------------ the chart

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
    const known = finite.map((p) => ({ at: [decades(p.C), decades(p.total)], inside: outside(s.law, p).length === 0 }));
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
  }

  const KEY = [
    ["fitted", "total, plan within what was fitted"],
    ["beyond", "total, plan beyond what was fitted"],
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

  function fill(table, plans) {
    for (const cell of table.querySelectorAll("td")) {
      const plan = plans[cell.dataset.plan];
      const all = { ...plan, ratio: plan.D / plan.N, share: 1 - plan.C / plan.total };
      const value = all[cell.dataset.name];
      const [, , write] = ROWS.find(([name]) => name === cell.dataset.name);
      cell.dataset.value = value;
      cell.textContent = Number.isFinite(value) ? write(value) : "out of reach";
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
    const beyond = outside(s.law, cheapest);
    words.push(beyond.length
      ? `The cheapest plan lies beyond what was fitted: ${beyond.join(", ")}.`
      : "The cheapest plan lies within what was fitted.");
    return words.join(" ");
  }

  // ------------------------------------------------------------------ putting it together

  function start(root) {
    const data = JSON.parse(document.getElementById("t2-live-laws").textContent);
    root.textContent = "";
    const form = buildForm(root, data);
    const svg = make("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img",
      class: "t2-live-chart", "aria-labelledby": "t2-live-title t2-live-desc" },
      make("title", { id: "t2-live-title" }, "Total compute to reach the target against training compute"),
      make("desc", { id: "t2-live-desc" }));
    const says = make("p", { class: "t2-live-verdict", "aria-live": "polite" });
    const table = buildTable();
    root.append(svg, buildKey(), says, table);

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
      drawChart(svg, s, curve, chosen, cheapest);
      fill(table, { chosen, cheapest });
      says.textContent = verdict(s, chosen, cheapest);
      svg.querySelector("desc").textContent = says.textContent;
      root.dataset.ready = JSON.stringify({ C: s.C, queries: s.queries, target: s.target,
        prompt: s.prompt, answer: s.answer, shared: s.shared, law: data.laws.indexOf(s.law) });
    };
    let waiting = 0;
    form.addEventListener("input", () => {
      delete root.dataset.ready;
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(update);
    });
    update();
  }

  const root = document.getElementById("t2-live");
  if (root) start(root);
})();
