// SPDX-License-Identifier: LGPL-2.1-or-later
// What the mouse, the keys and the address do; begins the page.

// Twice or half as many bytes a cell; what is at `offset` stays in its row.
function zoom(factor, offset) {
  const visible = Math.floor(offset / rowBytes()) - view.row;
  view.cell = Math.min(Math.max(view.cell * factor, data.unit), shape.whole);
  view.row = Math.floor(offset / rowBytes()) - visible;
  update();
}
function go(offset, length) {
  view.cell = shape.whole;
  while (view.cell > data.unit && length < kRows * rowBytes() / 4)
    view.cell /= 2;
  view.row = Math.floor(offset / rowBytes()) - 1;
  view.hover = offset;
  update();
  grid.scrollIntoView({block: 'nearest'});
}
const middle = () => view.hover >= startOfView() && view.hover < endOfView()
  ? view.hover : (startOfView() + endOfView()) / 2;

// The fragment of the address names the view, so that it can be passed on.
function update() {
  draw();
  const words = [`cell=${view.cell}`, `at=${startOfView()}`];
  if (view.hover >= 0) words.push(`hover=${view.hover}`);
  if (document.documentElement.dataset.theme) words.push('theme=' + theme());
  history.replaceState(null, '', '#' + words.join('&'));
}
function follow() {
  const words = new URLSearchParams(location.hash.slice(1));
  const number = (name, other) =>
    words.has(name) && Number(words.get(name)) >= 0
      ? Math.floor(Number(words.get(name))) : other;
  if (['light', 'dark'].includes(words.get('theme')))
    document.documentElement.dataset.theme = words.get('theme');
  view.cell = data.unit;  // the smallest power of two from what is asked
  const asked = number('cell', shape.whole);
  while (view.cell < asked && view.cell < shape.whole) view.cell *= 2;
  view.row = Math.floor(number('at', 0) / rowBytes());
  view.hover = number('hover', -1);
  if (view.hover >= data.capacity) view.hover = -1;
  draw();
}

function offsetAt(event) {
  const box = grid.getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left - shape.left) /
                            shape.pitch);
  const row = Math.floor((event.clientY - box.top - kTop) / shape.pitch);
  if (column < 0 || column >= shape.columns || row < 0 || row >= shape.shown)
    return -1;
  const offset = startOfView() + (row * shape.columns + column) * view.cell;
  return offset < data.capacity ? offset : -1;
}

function listen() {
  let drag = null;
  grid.addEventListener('pointermove', (event) => {
    if (drag && event.buttons) {
      view.row = drag.row - Math.round((event.clientY - drag.y) / shape.pitch);
    }
    const offset = offsetAt(event);
    if (offset === view.hover && !drag) return;
    view.hover = offset;
    draw();
  });
  grid.addEventListener('pointerdown', (event) => {
    if (event.pointerType === 'mouse')
      drag = {y: event.clientY, row: view.row};
    view.hover = offsetAt(event);
    draw();
  });
  addEventListener('pointerup', () => { if (drag) update(); drag = null; });
  grid.addEventListener('pointerleave', (event) => {
    if (event.pointerType !== 'mouse') return;
    view.hover = -1;
    draw();
  });
  grid.addEventListener('dblclick', (event) => {
    const offset = offsetAt(event);
    if (offset >= 0) zoom(1 / 8, offset);
  });
  grid.addEventListener('wheel', (event) => {
    const offset = offsetAt(event), factor = event.deltaY < 0 ? 1 / 2 : 2;
    const next = view.cell * factor;
    // At either end the wheel scrolls the page, as it does anywhere else.
    if (offset < 0 || next < data.unit || next > shape.whole) return;
    event.preventDefault();
    zoom(factor, offset);
  }, {passive: false});
  strip.addEventListener('pointerdown', (event) => {
    const offset = event.offsetX / shape.width * data.capacity;
    view.row = Math.floor(offset / rowBytes() - shape.shown / 2);
    update();
  });
  grid.addEventListener('keydown', onKey);
  element('in').onclick = () => zoom(1 / 2, middle());
  element('out').onclick = () => zoom(2, middle());
  element('whole').onclick = () => { view.cell = shape.whole; update(); };
  element('theme').onclick = () => {
    document.documentElement.dataset.theme =
      theme() === 'dark' ? 'light' : 'dark';
    update();
    fillTables();
  };
  addEventListener('hashchange', () => { follow(); fillTables(); });
  addEventListener('resize', () => { measure(); draw(); });
  matchMedia('(prefers-color-scheme: dark)')
    .addEventListener('change', () => { draw(); fillTables(); });
}

function onKey(event) {
  const moves = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -shape.columns,
                 ArrowDown: shape.columns};
  const move = moves[event.key];
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (move) {
    const from = view.hover < 0 ? startOfView() - move * view.cell
      : view.hover - view.hover % view.cell;
    const to = from + move * view.cell;
    if (to >= 0 && to < data.capacity) view.hover = to;
    if (view.hover < startOfView()) --view.row;
    if (view.hover >= endOfView()) ++view.row;
    update();
  } else if (event.key === '+' || event.key === '=') {
    zoom(1 / 2, middle());
  } else if (event.key === '-') {
    zoom(2, middle());
  } else if (event.key === '0' || event.key === 'Home') {
    view.cell = shape.whole;
    update();
  } else if (event.key === 'PageUp' || event.key === 'PageDown') {
    view.row += (event.key === 'PageUp' ? -1 : 1) * (shape.shown >> 1);
    update();
  } else if (event.key === 'Escape') {
    view.hover = -1;
    update();
  } else {
    return;
  }
  event.preventDefault();
}

element('title').textContent = data.title;
document.title = data.title;
element('summary').textContent = data.summary;
element('generation').textContent = 'generation ' + data.generation;
for (const note of data.notes) {
  const text = document.createElement('p');
  text.textContent = 'Note: ' + note;
  element('notes').append(text);
}
measure();
follow();
fillTables();
listen();
