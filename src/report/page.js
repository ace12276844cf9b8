// Draws the page's charts with Chart.js from the JSON in #data, whose fields are those of the structs
// in page.hpp.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const root = document.documentElement;
  const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3], [14, 4], [4, 2]];
  const markers = ['circle', 'rect', 'triangle', 'rectRot', 'crossRot', 'star'];
  const wide = matchMedia('(min-width: 640px)');
  let drawn = [];

  const colour = name => getComputedStyle(root).getPropertyValue('--' + name).trim();
  const lineColour = index => colour('c' + index % dashes.length);
  const faded = (hex, part) => hex + Math.round(255 * part).toString(16).padStart(2, '0');

  function text(value, axis) {
    if (axis.percent) return +(100 * value).toPrecision(4) + ' %';
    const size = Math.abs(value);
    if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential().replace('e+', 'e');
    return String(+value.toPrecision(6));
  }

  function scale(axis) {
    const made = {
      type: axis.logarithmic ? 'logarithmic' : 'linear',
      title: {display: axis.title !== '', text: axis.title, color: colour('muted')},
      grid: {color: colour('rule'), borderColor: colour('muted'), tickLength: 4},
      ticks: {color: colour('muted'), maxRotation: 0, autoSkipPadding: 10,
              callback: value => axis.whole && value % 1 ? null : text(value, axis)},
    };
    if (axis.whole) made.ticks.precision = 0;
    // Between powers of ten only 2 and 5, and those where there are few powers.
    if (axis.logarithmic && axis.ticks.length === 0) {
      made.afterBuildTicks = built => {
        const kept = Math.log10(built.max / built.min) < 2 ? [1, 2, 5] : [1];
        built.ticks = built.ticks.filter(({value}) =>
          kept.includes(Math.round(value / Math.pow(10, Math.floor(Math.log10(value) + 1e-9)))));
      };
    }
    if (axis.ticks.length > 0) {
      const first = axis.ticks[0], last = axis.ticks[axis.ticks.length - 1];
      const room = axis.logarithmic ? Math.pow(last / first, 0.03) : 1;
      const margin = axis.logarithmic ? 0 : 0.03 * (last - first);
      made.min = first / room - margin;
      made.max = last * room + margin;
      made.afterBuildTicks = built => { built.ticks = axis.ticks.map(value => ({value})); };
    }
    return made;
  }

  // Counted things (epochs, steps, blocks) begin and end with the axis.
  function fit(axis, made, lists) {
    const all = lists.flat();
    if (!axis.whole || axis.ticks.length > 0 || all.length === 0) return;
    const low = Math.min(...all), high = Math.max(...all);
    made.min = low === high ? low - 0.5 : low;
    made.max = low === high ? high + 0.5 : high;
  }

  const points = (xs, ys) => xs.map((x, i) => ({x, y: ys[i]}));

  // Names at the ends of lines, moved apart where they would overlap.
  const endLabels = {
    id: 'endLabels',
    afterDatasetsDraw(chart) {
      const context = chart.ctx, area = chart.chartArea, height = 15;
      const labels = [];
      chart.data.datasets.forEach((set, k) => {
        if (!set.endLabel) return;
        const shown = chart.getDatasetMeta(k).data.filter(p => !p.skip && Number.isFinite(p.y));
        const last = shown[shown.length - 1];
        if (last) labels.push({y: last.y, text: set.endLabel, colour: set.borderColor});
      });
      labels.sort((a, b) => a.y - b.y);
      labels.forEach((label, i) => {
        if (i > 0) label.y = Math.max(label.y, labels[i - 1].y + height);
      });
      for (let i = labels.length - 1, limit = area.bottom; i >= 0; --i, limit -= height) {
        labels[i].y = Math.min(labels[i].y, limit);
      }
      context.save();
      context.font = '12px ' + Chart.defaults.font.family;
      context.textBaseline = 'middle';
      for (const label of labels) {
        context.fillStyle = label.colour;
        context.fillText(label.text, area.right + 8, label.y);
      }
      context.restore();
    },
  };

  function labelRoom(sets) {
    const context = document.createElement('canvas').getContext('2d');
    context.font = '12px ' + Chart.defaults.font.family;
    return 16 + Math.max(...sets.map(set => context.measureText(set.endLabel || '').width));
  }

  function options(x, y, more) {
    return Object.assign({
      animation: false, responsive: true, maintainAspectRatio: false, normalized: true,
      interaction: {mode: 'nearest', intersect: false},
      scales: {x: scale(x), y: scale(y)},
      plugins: {
        legend: {display: false},
        tooltip: {callbacks: {
          title: items => items.length ? x.title + ' ' + text(items[0].parsed.x, x) : '',
          label: item => ' ' + item.dataset.label + ': ' + text(item.parsed.y, y)}},
      },
    }, more);
  }

  function lineSets(chart) {
    const sets = [];
    for (const line of chart.lines) {
      const full = lineColour(line.colour);
      const radius = line.x.length > 40 || (line.faint && line.x.length > 1) ? 0 : 3.5;
      if (line.low.length > 0) {
        const edge = {borderWidth: 0, pointRadius: 0, edge: true, backgroundColor: faded(full, 0.15)};
        sets.push({...edge, data: points(line.x, line.low)});
        sets.push({...edge, data: points(line.x, line.high), fill: '-1'});
      }
      const set = {
        label: line.name, data: points(line.x, line.y), borderColor: full, backgroundColor: full,
        borderWidth: line.faint ? 1.25 : 2.25, borderDash: dashes[line.colour % dashes.length],
        pointStyle: markers[line.colour % markers.length], pointRadius: radius,
        pointHitRadius: 8, showLine: line.kind === 'line' || line.kind === 'range', spanGaps: false,
      };
      if (!set.showLine) Object.assign(set, {pointRadius: 3, borderWidth: 1.5});
      if (line.kind === 'crosses') Object.assign(set, {pointStyle: 'crossRot', pointRadius: 6, borderWidth: 2.5});
      if (line.kind === 'range') {
        Object.assign(set, {borderWidth: 7, pointRadius: 0, borderDash: [], borderColor: faded(full, 0.55)});
      }
      if (line.kind === 'line') set.endLabel = line.name;
      sets.push(set);
    }
    return sets;
  }

  // What stands before a name in the legend: a piece of its line, with dash and marker.
  function swatch(set) {
    const canvas = document.createElement('canvas'), context = canvas.getContext('2d');
    canvas.width = 34;
    canvas.height = 12;
    context.strokeStyle = context.fillStyle = set.borderColor;
    context.lineWidth = set.borderWidth;
    if (set.showLine) {
      context.setLineDash(set.borderDash);
      context.beginPath();
      context.moveTo(0, 6);
      context.lineTo(34, 6);
      context.stroke();
      context.setLineDash([]);
    }
    const {pointStyle, pointRadius: radius, borderWidth} = set;
    if (radius > 0) Chart.helpers.drawPoint(context, {pointStyle, radius, borderWidth, rotation: 0}, 17, 6);
    return canvas;
  }

  function drawLines(chart, id) {
    const sets = lineSets(chart);
    const named = sets.filter(set => set.endLabel);
    const direct = wide.matches && named.length <= 8 && labelRoom(named) < 280;
    const only = sets.filter(set => set.label).length === 1;
    const made = options(chart.x, chart.y);
    fit(chart.x, made.scales.x, chart.lines.map(line => line.x));
    if (direct) {
      made.layout = {padding: {right: labelRoom(named)}};
    } else {
      for (const set of sets) delete set.endLabel;
    }
    // What has no name at its end is in the legend.
    const legend = sets.some(set => set.label && !set.endLabel) && !only;
    made.plugins.legend = {
      display: legend, align: 'start', position: 'top',
      labels: {usePointStyle: true, pointStyleWidth: 38, color: colour('text'),
               filter: (item, all) => {
                 const set = all.datasets[item.datasetIndex];
                 return set.label && !set.endLabel;
               },
               generateLabels: built => Chart.defaults.plugins.legend.labels.generateLabels(built)
                 .map(item => ({...item, pointStyle: swatch(built.data.datasets[item.datasetIndex])}))},
      onClick: () => {},
    };
    made.plugins.tooltip.filter = item => !item.dataset.edge;
    draw('c' + id, {type: 'line', data: {datasets: sets}, options: made, plugins: [endLabels]});
  }

  function drawBands(chart, id) {
    const select = document.getElementById('o' + id);
    const show = () => {
      const choice = chart.choices[select.value];
      const all = choice.panels.flatMap(panel => panel.quantiles.flat()).filter(Number.isFinite);
      const low = Math.min(...all), high = Math.max(...all), margin = 0.04 * (high - low) || 1;
      const count = document.querySelectorAll('[id^="t' + id + '-"]').length;
      for (let k = 0; k < count; ++k) {
        const panel = choice.panels[k];
        document.getElementById('t' + id + '-' + k).parentElement.hidden = !panel;
        if (!panel) continue;
        document.getElementById('t' + id + '-' + k).textContent = panel.name;
        const full = lineColour(panel.colour);
        const sets = [];
        [[0, 6, 0.14], [1, 5, 0.2], [2, 4, 0.32]].forEach(([from, to, part]) => {
          const edge = {borderWidth: 0, pointRadius: 0, edge: true, backgroundColor: faded(full, part)};
          sets.push({...edge, data: points(panel.x, panel.quantiles[from])});
          sets.push({...edge, data: points(panel.x, panel.quantiles[to]), fill: '-1'});
        });
        sets.push({label: 'median', data: points(panel.x, panel.quantiles[3]), borderColor: full,
                   backgroundColor: full, borderWidth: 2, pointRadius: panel.x.length > 1 ? 0 : 4});
        const made = options(chart.x, chart.y);
        fit(chart.x, made.scales.x, choice.panels.map(one => one.x));
        made.scales.y.min = low - margin;
        made.scales.y.max = high + margin;
        made.scales.y.ticks.includeBounds = false;
        made.plugins.tooltip.filter = item => !item.dataset.edge;
        draw('c' + id + '-' + k, {type: 'line', data: {datasets: sets}, options: made});
      }
    };
    select.onchange = show;
    show();
  }

  function drawBars(chart, id) {
    document.getElementById('c' + id).parentElement.style.height = 60 + 26 * chart.names.length + 'px';
    const axis = {title: '', percent: false, whole: false, ticks: [], logarithmic: false};
    const made = options(chart.x, axis, {indexAxis: 'y'});
    made.scales.x.beginAtZero = true;
    made.scales.y = {type: 'category', grid: {display: false, borderColor: colour('muted')},
                     ticks: {color: colour('text'), autoSkip: false}};
    made.plugins.tooltip.callbacks = {label: item => ' ' + text(item.parsed.x, chart.x)};
    draw('c' + id, {type: 'bar', options: made, data: {labels: chart.names, datasets: [
      {data: chart.values, backgroundColor: lineColour(0), maxBarThickness: 22}]}});
  }

  // The vertical axes of a chart with parallel coordinates, and what stands at their marks.
  const parallelAxes = dimensions => ({
    id: 'parallelAxes',
    afterDatasetsDraw(chart) {
      const context = chart.ctx, {x, y} = chart.scales;
      context.save();
      context.font = '11px ' + Chart.defaults.font.family;
      context.textBaseline = 'middle';
      context.lineJoin = 'round';
      dimensions.forEach((dimension, k) => {
        const at = x.getPixelForValue(k);
        context.strokeStyle = colour('muted');
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(at, y.getPixelForValue(0));
        context.lineTo(at, y.getPixelForValue(1));
        context.stroke();
        context.strokeStyle = colour('c2');
        context.lineWidth = 6;
        for (const [low, high] of dimension.parts) {
          context.beginPath();
          context.moveTo(at, y.getPixelForValue(low));
          context.lineTo(at, y.getPixelForValue(high));
          context.stroke();
        }
        for (const mark of dimension.marks) {
          const place = [mark.text, at + 5, y.getPixelForValue(mark.height)];
          context.strokeStyle = colour('background');
          context.lineWidth = 4;
          context.strokeText(...place);
          context.fillStyle = colour('text');
          context.fillText(...place);
        }
      });
      context.restore();
    },
  });

  function drawParallel(chart, id) {
    const last = chart.items.length - 1, weak = colour('c5'), strong = colour('c0');
    const sets = chart.items.map((item, i) => ({
      label: item.name, data: item.heights.map((y, x) => ({x, y})), pointRadius: 0, pointHitRadius: 6,
      borderColor: i === last ? colour('c1')
        : item.rank > 0.75 ? faded(strong, 0.8) : faded(weak, 0.15 + 0.3 * item.rank),
      borderWidth: i === last ? 3 : item.rank > 0.75 ? 1.5 : 1, spanGaps: false,
    }));
    const plain = {title: '', percent: false, whole: true, ticks: [], logarithmic: false};
    const made = options(plain, plain, {layout: {padding: {top: 8, right: 90}}});
    Object.assign(made.scales.x, {min: 0, max: chart.dimensions.length - 1, grid: {display: false, drawBorder: false}});
    made.scales.x.ticks = {color: colour('text'), stepSize: 1, autoSkip: false, maxRotation: 60,
                           callback: value => (chart.dimensions[value] || {name: ''}).name};
    Object.assign(made.scales.y, {display: false, min: -0.03, max: 1.03});
    made.plugins.tooltip.callbacks = {
      title: items => items.length ? items[0].dataset.label : '',
      label: item => ' ' + chart.dimensions[item.dataIndex].name + ': ' +
        chart.items[item.datasetIndex].cells[item.dataIndex]};
    draw('c' + id, {type: 'line', data: {datasets: sets}, options: made,
                    plugins: [parallelAxes(chart.dimensions)]});
  }

  function draw(id, configuration) {
    const canvas = document.getElementById(id), old = Chart.getChart(canvas);
    if (old) {
      old.destroy();
      drawn = drawn.filter(chart => chart !== old);
    }
    drawn.push(new Chart(canvas, configuration));
  }

  function drawAll() {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    const kinds = {lines: drawLines, bands: drawBands, bars: drawBars, parallel: drawParallel};
    data.charts.forEach((chart, id) => kinds[chart.type](chart, id));
  }

  data.pictures.forEach((pixels, id) => {
    const canvas = document.getElementById('p' + id), context = canvas.getContext('2d');
    const image = context.createImageData(canvas.width, canvas.height);
    const grey = Uint8Array.from(atob(pixels), c => c.charCodeAt(0));
    for (let i = 0; i < grey.length; ++i) image.data.set([grey[i], grey[i], grey[i], 255], 4 * i);
    context.putImageData(image, 0, 0);
  });

  // Light or dark: as the system has it until the button is pressed; paper is white.
  const dark = matchMedia('(prefers-color-scheme: dark)'), button = document.getElementById('theme');
  let chosen = null;
  function setTheme(name) {
    root.dataset.theme = name;
    button.textContent = name === 'dark' ? 'Light' : 'Dark';
    button.setAttribute('aria-label', name === 'dark' ? 'Show in light colours' : 'Show in dark colours');
    drawAll();
  }
  const screenTheme = () => chosen || (dark.matches ? 'dark' : 'light');
  button.hidden = false;
  button.onclick = () => setTheme(chosen = root.dataset.theme === 'dark' ? 'light' : 'dark');
  dark.onchange = () => setTheme(screenTheme());
  wide.onchange = drawAll;
  addEventListener('beforeprint', () => { setTheme('light'); drawn.forEach(chart => chart.resize()); });
  addEventListener('afterprint', () => setTheme(screenTheme()));
  setTheme(screenTheme());
})();
