// Draws the figures of the page. The data and their tables are already in it.
(() => {
  "use strict";

  const HEIGHT_PX = 280;
  const PRINT_WIDTH_PX = 640;
  const COLOURS = 8;
  // Share of a category's width that its bars fill.
  const GROUP = 0.76;

  const figures = JSON.parse(document.getElementById("figure-data").textContent);
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const grouped = (count) => String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

  const FORMATS = {
    count: (value) => grouped(value),
    percent: (value) => `${value.toFixed(1)} %`,
  };

  const text = (figure, value) => (value == null ? "–" : FORMATS[figure.unit](value));

  // Past the palette's end bars are hollow.
  function paint(index) {
    const stroke = colour(`series-${(index % COLOURS) + 1}`);
    const hollow = Math.floor(index / COLOURS) % 2 === 1;
    return { stroke, fill: hollow ? "transparent" : stroke, width: hollow ? 2 : 0 };
  }

  function series(figure, index) {
    const bar = GROUP / figure.series.length;
    const left = (at) => at - GROUP / 2 + index * bar;
    const inset = figure.series.length > 1 ? 0.04 * bar : 0;
    return {
      label: figure.series[index].name,
      ...paint(index),
      points: { show: false },
      paths: uPlot.paths.bars({
        disp: {
          x0: { unit: 1, values: () => figure.categories.map((_, at) => left(at) + inset) },
          size: { unit: 1, values: () => figure.categories.map(() => bar - 2 * inset) },
        },
      }),
    };
  }

  // Every nth category has a label where not all of them have room.
  function labelled(figure, plot) {
    const longest = Math.max(...figure.categories.map((name) => name.length));
    const room = plot.bbox.width / devicePixelRatio / figure.categories.length;
    const step = Math.ceil((longest * 7 + 8) / room);
    return figure.categories.map((_, at) => at).filter((at) => at % step === 0);
  }

  function top(figure, most) {
    return figure.unit === "percent" ? 100 : Math.max(most, 1);
  }

  function axes(figure) {
    const ink = colour("faint");
    const both = { stroke: ink, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
    return [
      {
        ...both,
        label: figure.category_axis,
        labelSize: 22,
        size: 28,
        grid: { show: false },
        ticks: { show: false },
        splits: (plot) => labelled(figure, plot),
        values: (_, splits) => splits.map((at) => figure.categories[at]),
      },
      {
        ...both,
        label: figure.value_axis,
        labelSize: 22,
        size: (plot, values) => 18 + 7 * Math.max(1, ...(values || []).map((value) => value.length)),
        grid: { stroke: colour("grid"), width: 1 },
        ticks: { show: false },
        incrs: [1, 2, 5].flatMap((digit) => Array.from({ length: 15 }, (_, power) => digit * 10 ** power)).sort((a, b) => a - b),
        values: (_, splits) => splits.map((value) => (figure.unit === "percent" ? `${value} %` : grouped(value))),
      },
    ];
  }

  // Writes each value over its bar, where all of a figure fit.
  function writeValues(figure, plot) {
    const { ctx } = plot;
    const width = (plot.bbox.width / figure.categories.length) * (GROUP / figure.series.length);
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillStyle = colour("ink");
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    const bars = figure.series.flatMap((one, index) => one.values.map((value, at) => ({ index, at, value, label: text(figure, value) })));
    if (bars.every(({ label }) => ctx.measureText(label).width < width)) {
      for (const { index, at, value, label } of bars) {
        if (value == null || !plot.series[index + 1].show) continue;
        const x = at - GROUP / 2 + (index + 0.5) * (GROUP / figure.series.length);
        ctx.fillText(label, plot.valToPos(x, "x", true), plot.valToPos(value, "y", true) - 2 * devicePixelRatio);
      }
    }
    ctx.restore();
  }

  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  // What the pointer is on: the category and the value of each of its bars.
  function pointer(figure) {
    const band = element("div", { className: "band", hidden: true });
    const tip = element("div", { className: "tip", hidden: true });
    const show = (plot) => {
      const at = plot.cursor.idx;
      band.hidden = tip.hidden = at == null || plot.cursor.left < 0;
      if (tip.hidden) return;
      const from = plot.valToPos(at - 0.5, "x");
      const to = plot.valToPos(at + 0.5, "x");
      Object.assign(band.style, { left: `${from}px`, width: `${to - from}px` });
      const rows = figure.series.map((one, index) => {
        const { stroke, fill } = paint(index);
        const mark = element("i");
        Object.assign(mark.style, { background: fill, border: `2px solid ${stroke}` });
        return element("span", {}, element("em", {}, mark, one.name), text(figure, one.values[at]));
      });
      tip.replaceChildren(element("b", { textContent: figure.categories[at] }), ...rows);
      const middle = (from + to) / 2 - tip.offsetWidth / 2;
      tip.style.left = `${Math.max(0, Math.min(middle, plot.over.clientWidth - tip.offsetWidth))}px`;
    };
    return { hooks: { init: (plot) => plot.over.append(band, tip), setCursor: show } };
  }

  function draw(figure, place, width) {
    const count = figure.categories.length;
    const options = {
      width,
      height: HEIGHT_PX,
      padding: [18, 8, 0, 0],
      scales: {
        x: { time: false, range: [-0.5, count - 0.5] },
        y: { range: (_, low, most) => [0, top(figure, most) * 1.05] },
      },
      axes: axes(figure),
      series: [{ label: figure.category_axis }, ...figure.series.map((_, index) => series(figure, index))],
      cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false, setScale: false } },
      legend: { live: false },
      plugins: [pointer(figure), { hooks: { draw: (plot) => writeValues(figure, plot) } }],
    };
    const data = [figure.categories.map((_, at) => at), ...figure.series.map((one) => one.values)];
    return new uPlot(options, data, place);
  }

  // Left and right move over the categories, Escape leaves.
  function keys(figure, place, current) {
    let at = -1;
    const point = () => {
      const plot = current();
      plot.setCursor({ left: at < 0 ? -10 : plot.valToPos(at, "x"), top: 10 });
    };
    place.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) at = Math.max(0, Math.min(at + step, figure.categories.length - 1));
      else if (event.key === "Escape") at = -1;
      else return;
      event.preventDefault();
      point();
    });
    place.addEventListener("blur", () => { at = -1; point(); });
  }

  function show(figure) {
    const place = document.getElementById(`plot-${figure.id}`);
    let plot = null;
    const redraw = (width) => {
      if (plot) plot.destroy();
      plot = draw(figure, place, width);
    };
    redraw(place.clientWidth);
    keys(figure, place, () => plot);
    new ResizeObserver(() => {
      const width = place.clientWidth;
      if (width > 0 && width !== plot.width && !root.classList.contains("printing")) plot.setSize({ width, height: HEIGHT_PX });
    }).observe(place);
    return { redraw: () => redraw(place.clientWidth), print: () => redraw(PRINT_WIDTH_PX) };
  }

  const shown = figures.map(show);
  const again = () => shown.forEach((one) => one.redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    shown.forEach((one) => one.print());
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    again();
  });
})();
