'use strict';
// SPDX-License-Identifier: LGPL-2.1-or-later
// The page is static: everything is in #data, nothing is fetched. Two canvases
// show the map: the strip all of the device, the grid some rows of it.
const data = JSON.parse(document.getElementById('data').textContent);
const element = (id) => document.getElementById(id);
const blocks = decode(data.map);  // a number a unit
const grid = element('grid'), strip = element('strip'), tip = element('tip');
const kRows = 64, kTop = 20, kGap = 1;
const themes = {
  light: {colours: data.light, none: data.none_light, ink: '#1d2129',
          faint: '#5c6573', paper: '#ffffff'},
  dark: {colours: data.dark, none: data.none_dark, ink: '#e4e7ec',
         faint: '#9aa4b2', paper: '#16191e'},
};
// What is shown: bytes a cell, the first row; the cell that the tip is of.
const view = {cell: 0, row: 0, hover: -1, file: null};
let shape = null;  // of the grid, from the width of the window

// Runs: a byte below 128 and so many numbers more one, or 128 + n and a number
// that comes n + 2 times.
function decode(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const out = new Uint8Array(data.units);
  for (let from = 0, to = 0; from < packed.length;) {
    const head = packed[from++];
    if (head < 128) {
      out.set(packed.subarray(from, from + head + 1), to);
      from += head + 1;
      to += head + 1;
    } else {
      out.fill(packed[from++], to, to + head - 126);
      to += head - 126;
    }
  }
  return out;
}

function size(bytes) {
  const units = ['', 'K', 'M', 'G', 'T', 'P', 'E'];
  let unit = 0;
  for (; bytes >= 1024 && unit < 6; ++unit) bytes /= 1024;
  return (unit === 0 || bytes >= 100 ? bytes.toFixed(0)
    : bytes.toFixed(1).replace('.0', '')) + units[unit];
}
// Exactly: 1152M, where size() would say 1.1G.
function exact(bytes) {
  const units = ['', 'K', 'M', 'G', 'T', 'P', 'E'];
  let unit = 0;
  for (; bytes !== 0 && bytes % 1024 === 0; ++unit) bytes /= 1024;
  return bytes + units[unit];
}
const percent = (part, whole) =>
  (whole ? 100 * part / whole : 0).toFixed(1) + ' %';

function theme() {
  const told = document.documentElement.dataset.theme;
  const dark = told ? told === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  return dark ? 'dark' : 'light';
}
const colour = (number) => themes[theme()].colours[number - data.first];

// Bytes by number in [from, to).
function tally(from, to) {
  const bytes = new Float64Array(256);
  to = Math.min(to, data.capacity);
  for (let unit = Math.floor(from / data.unit); unit * data.unit < to; ++unit) {
    const begin = Math.max(from, unit * data.unit);
    const end = Math.min(to, (unit + 1) * data.unit);
    const number = blocks[unit];
    bytes[number > data.since ? number : 0] += end - begin;
  }
  return bytes;
}

// As stack() of core/heat: [number, steps] from the foot, the newest first.
function stack(bytes, length, height) {
  const changed = length - bytes[0], parts = [];
  if (changed <= 0) return parts;
  let full = Math.floor(height * changed / length + 0.5);
  if (changed < length) full = Math.min(full, height - 1);
  full = Math.max(full, 1);
  for (let number = 255, sum = 0, drawn = 0; number > 0; --number) {
    if (bytes[number] === 0) continue;
    sum += bytes[number];
    const top = Math.max(1, Math.floor(full * sum / changed + 0.5));
    if (top > drawn) parts.push([number, top - drawn]);
    drawn = top;
  }
  return parts;
}

const rowsOf = (cell, columns) => Math.ceil(data.capacity / (cell * columns));

// Cells and rows are powers of two, so that the offsets are round numbers.
function measure() {
  const width = grid.clientWidth || 800;
  const left = width < 500 ? 44 : 60;
  const right = data.partitioned && width >= 700 ? 100 : 0;
  let columns = 16;
  while (columns < 128 && (width - left - right) / (columns * 2) >= 8)
    columns *= 2;
  let cell = data.unit;
  while (rowsOf(cell, columns) > kRows) cell *= 2;
  while (columns > 16 && rowsOf(cell, columns) * 4 <= columns) columns /= 2;
  const pitch = Math.min(24, Math.floor((width - left - right) / columns));
  shape = {width, left, columns, pitch, whole: cell,
           rows: Math.min(kRows, rowsOf(cell, columns))};
}

// Within what there is. A deeper view has as many rows as the whole one, or
// the full number where the whole device has few.
function settle() {
  view.cell = Math.min(Math.max(view.cell, data.unit), shape.whole);
  const all = rowsOf(view.cell, shape.columns);
  shape.shown = Math.min(all, kRows);
  view.row = Math.min(Math.max(0, view.row), all - shape.shown);
}
const rowBytes = () => view.cell * shape.columns;
const startOfView = () => view.row * rowBytes();
const endOfView = () =>
  Math.min(data.capacity, startOfView() + shape.shown * rowBytes());

// A canvas of so many CSS pixels, sharp on any screen.
function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + 'px';
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

function bar(context, x, foot, width, height, range) {
  context.fillStyle = themes[theme()].none;
  context.fillRect(x, foot - height, width, height);
  for (const [number, steps] of
      stack(tally(range[0], range[1]), range[1] - range[0], height)) {
    context.fillStyle = colour(number);
    context.fillRect(x, foot - steps, width, steps);
    foot -= steps;
  }
}

const cellAt = (index) => {
  const from = startOfView() + index * view.cell;
  return [from, Math.min(from + view.cell, data.capacity)];
};
const placeOf = (offset) => {
  const index = Math.floor((offset - startOfView()) / view.cell);
  return {x: shape.left + (index % shape.columns) * shape.pitch,
          y: kTop + Math.floor(index / shape.columns) * shape.pitch};
};

function drawGrid() {
  const {pitch, columns, left, shown} = shape, look = themes[theme()];
  const context = prepare(grid, shape.width, kTop + shown * pitch + 2);
  const side = pitch - kGap;
  for (let index = 0; index < shown * columns; ++index) {
    const range = cellAt(index);
    if (range[0] >= data.capacity) break;
    bar(context, left + (index % columns) * pitch,
        kTop + Math.floor(index / columns) * pitch + side, side, side, range);
  }
  context.font = '11px system-ui, sans-serif';
  context.fillStyle = look.faint;
  context.textAlign = 'right';
  for (let row = 0; row < shown; row += Math.max(1, Math.floor(18 / pitch)))
    context.fillText(exact((view.row + row) * rowBytes()), left - 7,
                     kTop + row * pitch + 10);
  context.textAlign = 'left';
  for (let quarter = 0; quarter < 4; ++quarter)
    context.fillText('+' + exact(quarter * rowBytes() / 4),
                     left + quarter * columns / 4 * pitch, 12);
  drawRegions(context);
  if (view.file) drawFile(context, view.file);
  if (view.hover >= 0) {
    const at = placeOf(view.hover);
    context.strokeStyle = look.ink;
    context.lineWidth = 2;
    context.strokeRect(at.x - 1, at.y - 1, side + 2, side + 2);
  }
  Object.assign(grid.dataset, {cell: view.cell, row: view.row, columns, left,
    pitch, top: kTop, rows: shown});
}

// A step through the grid where a partition begins; its name in the margin.
function drawRegions(context) {
  if (!data.partitioned) return;
  const {pitch, columns, left} = shape, right = left + columns * pitch;
  context.strokeStyle = context.fillStyle = themes[theme()].ink;
  context.lineWidth = 1;
  let free = 0;
  for (const region of data.regions) {
    if (region.offset >= endOfView() ||
        region.offset + region.length <= startOfView()) continue;
    const inside = region.offset >= startOfView();
    const at = placeOf(Math.max(region.offset, startOfView()));
    if (inside) {
      const x = at.x - 0.5, y = at.y - 0.5;
      context.beginPath();
      context.moveTo(left - 4, y + pitch);
      context.lineTo(x, y + pitch);
      context.lineTo(x, y);
      context.lineTo(right + 4, y);
      context.stroke();
    }
    if (shape.width - right < 60) continue;
    const y = Math.max(at.y + 10, free);
    context.fillText(region.name + ' ' + region.type, right + 8, y,
                     shape.width - right - 10);
    free = y + 13;
  }
}

// A file has thousands of places at times; a cell is outlined once.
function drawFile(context, file) {
  const cells = new Set();
  for (const [offset, length] of file.places)
    for (let at = Math.max(offset, startOfView());
         at < Math.min(offset + length, endOfView());
         at = (Math.floor(at / view.cell) + 1) * view.cell)
      cells.add(Math.floor((at - startOfView()) / view.cell));
  context.strokeStyle = themes[theme()].ink;
  context.lineWidth = 1.5;
  for (const index of cells) {
    const at = placeOf(startOfView() + index * view.cell);
    context.strokeRect(at.x, at.y, shape.pitch - kGap, shape.pitch - kGap);
  }
}

function drawStrip() {
  const context = prepare(strip, shape.width, 18);
  const width = shape.width, step = data.capacity / width;
  for (let x = 0; x < width; ++x)
    if (Math.floor((x + 1) * step) > Math.floor(x * step))
      bar(context, x, 15, 1, 12, [Math.floor(x * step),
                                  Math.floor((x + 1) * step)]);
  context.strokeStyle = themes[theme()].ink;
  context.lineWidth = 2;
  const from = startOfView() / step, to = endOfView() / step;
  context.strokeRect(from + 1, 1, Math.max(3, to - from - 2), 16);
}

function draw() {
  settle();
  drawGrid();
  drawStrip();
  element('scale').textContent = `${exact(startOfView())} to ` +
    `${exact(endOfView())}; a cell is ${size(view.cell)}, a row ` +
    size(rowBytes());
  element('in').disabled = view.cell <= data.unit;
  element('out').disabled = element('whole').disabled =
    view.cell >= shape.whole;
  showTip();
}

function line(text, number) {
  const row = document.createElement('div');
  if (number) row.append(swatch(colour(number)));
  row.append(text);
  return row;
}
function swatch(background) {
  const box = document.createElement('span');
  box.className = 'swatch';
  box.style.background = background;
  return box;
}

function showTip() {
  tip.hidden = view.hover < startOfView() || view.hover >= endOfView();
  if (tip.hidden) return;
  const range = cellAt(Math.floor((view.hover - startOfView()) / view.cell));
  const length = range[1] - range[0], bytes = tally(range[0], range[1]);
  const numbers = [];
  for (let number = 255; number > 0; --number)
    if (bytes[number]) numbers.push(number);
  const heading = document.createElement('b');
  heading.textContent = `offset ${exact(range[0])} (${range[0]})`;
  tip.replaceChildren(heading, line(`length ${size(length)} (${length})`));
  if (data.unit > data.block)
    tip.append(line(`the newest of each ${size(data.unit)}: the map is large`));
  if (!numbers.length) tip.append(line('unchanged'));
  for (const number of numbers.slice(0, 6))
    tip.append(line(`take ${number}: ${percent(bytes[number], length)}`,
                    number));
  if (numbers.length > 6)
    tip.append(line(`and ${numbers.length - 6} older takes`));
  const meets = (offset, size) => offset < range[1] && offset + size > range[0];
  const regions = data.partitioned
    ? data.regions.filter((it) => meets(it.offset, it.length)) : [];
  for (const it of regions)
    tip.append(line(`partition ${it.name} ${it.type} ${it.label}`));
  const files = data.files.filter((it) =>
    it.places.some(([offset, length]) => meets(offset, length)));
  for (const it of files.slice(0, 4)) tip.append(line(it.path));
  Object.assign(tip.dataset, {offset: range[0], length,
    number: numbers[0] || 0, changed: length - bytes[0],
    partition: regions.map((it) => it.name).join(' '),
    file: files.length ? files[0].path : ''});
  const at = placeOf(range[0]), room = shape.width - tip.offsetWidth;
  const beside = at.x + shape.pitch + 10;
  tip.style.left = Math.max(0, beside <= room ? beside
    : at.x - tip.offsetWidth - 10) + 'px';
  tip.style.top = Math.max(0, Math.min(at.y - 10,
    grid.clientHeight - tip.offsetHeight)) + 'px';
}
