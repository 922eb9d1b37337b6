// SPDX-License-Identifier: LGPL-2.1-or-later
// Legend and tables.

function table(caption, headings, rows) {
  const section = document.createElement('section');
  const heading = document.createElement('h2');
  heading.textContent = caption;
  const body = document.createElement('table');
  for (const [kind, cells] of [['th', headings], ...rows.map((r) => ['td', r])]) {
    const row = body.insertRow();
    cells.forEach((cell, i) => {
      const place = document.createElement(kind);
      place.append(cell);
      if (headings[i].startsWith(' ')) place.className = 'text';
      row.append(place);
    });
  }
  section.append(heading, body);
  element('tables').append(section);
}
function link(text, action) {
  const button = document.createElement('button');
  button.className = 'link';
  button.textContent = text;
  button.onclick = action;
  return button;
}
function barOf(take, most) {
  const box = document.createElement('span');
  box.className = 'bar';
  box.style.background = colour(take.last);
  box.style.width = 160 * take.bytes / most + 'px';
  return take.bytes ? box : '';
}

// Headings that begin with a space are of columns of text.
function fillTables() {
  element('tables').replaceChildren();
  element('legend').replaceChildren();
  const entry = (background, text) => {
    const item = document.createElement('span');
    item.append(swatch(background), text);
    element('legend').append(item);
  };
  entry(themes[theme()].none, 'unchanged');
  for (const take of [...data.takes].reverse())
    entry(colour(take.last), 'take ' + take.name);
  const most = Math.max(1, ...data.takes.map((take) => take.bytes));
  if (data.takes.length)
    table('By take', ['Take', 'Changed', 'Of device', ' '],
          data.takes.map((take) => [take.name, size(take.bytes),
            percent(take.bytes, data.capacity), barOf(take, most)]));
  if (data.regions.length)
    table(data.partitioned ? 'By partition' : 'The device',
          [' Part', ' Type', ' Label', 'Start', 'Size', 'Changed', 'Of it',
           'Of changes'],
          data.region_rows.map((row) => [
            row.outside ? row.name
              : link(row.name, () => go(row.start, row.size)),
            row.type, row.label, row.outside ? '' : exact(row.start),
            size(row.size), size(row.changed), percent(row.changed, row.size),
            percent(row.changed, data.changed)]));
  if (data.files.length)
    table('By file', ['Changed', 'Take', ' Part', ' File'],
          data.files.map((file) => [size(file.changed), file.number,
            file.partition, link(file.path, () => {
              view.file = view.file === file ? null : file;
              go(file.places[0][0], data.capacity);
            })]));
}
