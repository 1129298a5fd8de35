// Draws the figures of the page. The data and their tables are already in it.
(() => {
  "use strict";

  const HEIGHT_PX = 280;
  const PRINT = { width: 640, height: 200 };
  const COLOURS = 8;
  // Share of a category's width that its bars may fill, and how wide a bar may be.
  const GROUP = 0.76;
  const BAR_MAX_PX = 88;

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

  // Share of a category's width that its bars fill, on a plot of this width.
  function share(figure, width) {
    return Math.min(GROUP, (BAR_MAX_PX * figure.series.length * figure.categories.length) / width);
  }

  function series(figure, index, group) {
    const bar = group / figure.series.length;
    const left = (at) => at - group / 2 + index * bar;
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

  // Every nth category has a label where not all of them have room, and none is cut off.
  function labelled(figure, plot) {
    const width = plot.bbox.width / devicePixelRatio;
    const longest = 7 * Math.max(...figure.categories.map((name) => name.length));
    const room = width / figure.categories.length;
    const step = Math.ceil((longest + 8) / room);
    const fits = (at) => step === 1 || (at + 0.5) * room + longest / 2 < width + 8;
    return figure.categories.map((_, at) => at).filter((at) => at % step === Math.floor(step / 2) && fits(at));
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
  function writeValues(figure, plot, group) {
    const { ctx } = plot;
    const width = (plot.bbox.width / figure.categories.length) * (group / figure.series.length);
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillStyle = colour("ink");
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    const bars = figure.series.flatMap((one, index) => one.values.map((value, at) => ({ index, at, value, label: text(figure, value) })));
    if (bars.every(({ label }) => ctx.measureText(label).width < width)) {
      for (const { index, at, value, label } of bars) {
        if (value == null || !plot.series[index + 1].show) continue;
        const x = at - group / 2 + (index + 0.5) * (group / figure.series.length);
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
      // Beside the bars; over them only where neither side has room.
      const [right, left] = [to + 4, from - 4 - tip.offsetWidth];
      const room = plot.over.clientWidth - tip.offsetWidth;
      tip.style.left = `${right <= room ? right : Math.max(0, left)}px`;
    };
    return { hooks: { init: (plot) => plot.over.append(band, tip), setCursor: show } };
  }

  function draw(figure, place, { width, height }) {
    const count = figure.categories.length;
    const group = share(figure, width);
    const options = {
      width,
      height,
      padding: [18, 8, 0, 0],
      scales: {
        x: { time: false, range: [-0.5, count - 0.5] },
        y: { range: (_, low, most) => [0, top(figure, most) * 1.05] },
      },
      axes: axes(figure),
      series: [{ label: figure.category_axis }, ...figure.series.map((_, index) => series(figure, index, group))],
      cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false, setScale: false } },
      legend: { live: false },
      plugins: [pointer(figure), { hooks: { draw: (plot) => writeValues(figure, plot, group) } }],
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
    const screen = () => ({ width: place.clientWidth, height: HEIGHT_PX });
    const redraw = (size) => {
      if (plot) plot.destroy();
      plot = draw(figure, place, size);
    };
    redraw(screen());
    keys(figure, place, () => plot);
    new ResizeObserver(() => {
      const size = screen();
      if (size.width > 0 && size.width !== plot.width && !root.classList.contains("printing")) redraw(size);
    }).observe(place);
    return { redraw: () => redraw(screen()), print: () => redraw(PRINT) };
  }

  // A figure without a bar has no place to draw in.
  const drawn = figures.filter((figure) => document.getElementById(`plot-${figure.id}`));
  const shown = drawn.map(show);
  const again = () => shown.forEach((one) => one.redraw());
  // Printing turns the dark scheme off as well, after `beforeprint` drew for paper.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (!root.classList.contains("printing")) again();
  });
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    shown.forEach((one) => one.print());
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    again();
  });
})();
