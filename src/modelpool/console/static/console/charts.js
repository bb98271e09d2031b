/* Draws every <canvas data-chart="id">: the JSON of that id says what, theme.css in which colours. */
const SERIES = ["primary-600", "base-500", "primary-900", "base-800", "primary-500", "base-600"];
const DARK_SERIES = ["primary-400", "base-400", "primary-200", "base-100", "primary-500", "base-300"];
const DASHES = [[], [], [8, 3], [8, 3], [2, 3], [2, 3]]; /* so that lines differ in more than their colour */

function colours() {
  const style = getComputedStyle(document.documentElement);
  const isDark = document.documentElement.classList.contains("dark");
  const named = (name) => style.getPropertyValue(`--color-${name}`).trim();
  return {
    series: (isDark ? DARK_SERIES : SERIES).map(named),
    text: named(isDark ? "base-300" : "base-600"),
    line: named(isDark ? "base-800" : "base-200"),
  };
}

function radius(one, spec) {
  if (one.marked) return 7;
  if (spec.small || one.muted) return 0;
  const count = Math.max(one.points.length, one.values.length);
  return spec.kind === "scatter" ? (count > 200 ? 2 : 3) : count > 60 ? 0 : 3;
}

function dataset(one, position, spec, palette) {
  const colour = palette.series[position % palette.series.length];
  return {
    label: one.name,
    data: one.points.length ? one.points.map(([x, y]) => ({ x, y })) : one.values,
    borderColor: colour,
    backgroundColor: spec.kind.endsWith("bar") ? colour : `color-mix(in oklab, ${colour} 18%, transparent)`,
    fill: one.filled,
    borderWidth: one.muted ? 1 : 2,
    borderDash: one.muted ? [4, 4] : DASHES[position % DASHES.length],
    pointRadius: radius(one, spec),
    showLine: !one.marked && (spec.kind !== "scatter" || one.muted),
    order: one.marked ? -1 : 0,
    spanGaps: true,
    tension: 0,
    maxBarThickness: 28,
  };
}

function label(spec, value) {
  if (!spec.x.time) return value;
  return new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }).format(new Date(value));
}

function axis(title, palette, limits = {}) {
  return {
    title: { display: Boolean(title), text: title, color: palette.text },
    ticks: { color: palette.text, maxRotation: 0, autoSkip: true, autoSkipPadding: 14 },
    grid: { color: palette.line },
    min: limits.min ?? undefined,
    max: limits.max ?? undefined,
  };
}

function config(spec) {
  const palette = colours();
  const isLinear = spec.kind === "scatter" || spec.series.some((one) => one.points.length);
  const isLying = spec.kind === "horizontal-bar";
  const values = axis(spec.y.title, palette, spec.y);
  const names = { ...axis(spec.x.title, palette, isLinear ? spec.x : {}), ...(isLinear ? { type: "linear" } : {}) };
  if (isLying) names.ticks.autoSkip = false;
  return {
    type: spec.kind.endsWith("bar") ? "bar" : isLinear && spec.kind === "scatter" ? "scatter" : "line",
    data: {
      labels: isLinear ? undefined : spec.labels.map((value) => label(spec, value)),
      datasets: spec.series.map((one, position) => dataset(one, position, spec, palette)),
    },
    options: {
      indexAxis: isLying ? "y" : "x",
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: isLinear ? "nearest" : "index", intersect: false, axis: isLying ? "y" : "x" },
      scales: spec.small
        ? { x: { display: false }, y: { display: false, beginAtZero: true } }
        : isLying ? { x: values, y: names } : { x: names, y: values },
      plugins: {
        legend: { display: !spec.small && spec.series.length > 1, labels: { color: palette.text, boxWidth: 12 } },
      },
      onClick: (_event, found) => {
        const link = found.length ? spec.links[found[0].index] : null;
        if (link) location.assign(link);
      },
    },
  };
}

const drawn = new Map();

function draw(canvas) {
  const data = document.getElementById(canvas.dataset.chart);
  if (!data) return;
  drawn.get(canvas)?.destroy();
  drawn.set(canvas, new Chart(canvas, config(JSON.parse(data.textContent))));
}

function drawAll(root) {
  for (const [canvas, chart] of drawn) {
    if (canvas.isConnected) continue;
    chart.destroy();
    drawn.delete(canvas);
  }
  root.querySelectorAll("canvas[data-chart]").forEach(draw);
}

document.addEventListener("htmx:load", (event) => drawAll(event.detail.elt));
new MutationObserver(() => [...drawn.keys()].forEach(draw))
  .observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
drawAll(document);
