// Pictures of an answer on canvases: the image with a box, the patches with what was kept, the scores as colours.

const LONG_SIDE = 640;
const KEPT = "#39d98a", BOX = "#ff4fa3";
// Dark to bright, so that the order is seen without colours, too.
const SCALE = [[20, 11, 52], [132, 32, 107], [229, 92, 48], [246, 215, 70]];

export function load(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("The picture of the answer could not be shown."));
    image.src = address;
  });
}

function fit(canvas, image) {
  const factor = LONG_SIDE / Math.max(image.width, image.height);
  canvas.width = Math.round(image.width * factor);
  canvas.height = Math.round(image.height * factor);
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return pen;
}

// box: left, top, right, bottom in pixels of an image of that size; null draws none.
export function drawImage(canvas, image, box, size) {
  const pen = fit(canvas, image);
  if (!box) return;
  const across = canvas.width / size[0], down = canvas.height / size[1];
  const corners = [box[0] * across, box[1] * down, (box[2] - box[0]) * across, (box[3] - box[1]) * down];
  for (const [width, colour] of [[7, "#000000"], [4, BOX]]) {
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.strokeRect(...corners);
  }
}

export function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (SCALE.length - 1), low = Math.min(Math.floor(place), SCALE.length - 2);
  const mixed = SCALE[low].map((value, i) => Math.round(value + (SCALE[low + 1][i] - value) * (place - low)));
  return `rgb(${mixed.join(",")})`;
}

export function limitsOf(scores) {
  const known = scores.flat().filter((value) => value !== null);
  return known.length ? [Math.min(...known), Math.max(...known)] : null;
}

export function drawScale(canvas) {
  const pen = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    pen.fillStyle = colour(x / (canvas.width - 1));
    pen.fillRect(x, 0, 1, canvas.height);
  }
}

// stage: kept (rows of bools) and scores (rows of numbers or null); cursor: [row, column] or null.
export function drawPatches(canvas, image, stage, view, cursor) {
  const pen = fit(canvas, image), rows = stage.kept.length, columns = stage.kept[0].length;
  const wide = canvas.width / columns, tall = canvas.height / rows;
  const limits = view === "scores" && stage.scores ? limitsOf(stage.scores) : null;
  stage.kept.forEach((line, row) => line.forEach((kept, column) => {
    const place = [column * wide, row * tall, wide, tall];
    if (limits) {
      const score = stage.scores[row][column];
      if (score === null) return stripes(pen, place);
      pen.fillStyle = colour((score - limits[0]) / (limits[1] - limits[0] || 1));
      pen.fillRect(...place);
    } else if (!kept) {
      pen.fillStyle = "rgba(12, 14, 18, .84)";
      pen.fillRect(...place);
    }
  }));
  outline(pen, stage.kept, wide, tall);
  if (!cursor) return;
  for (const [width, ink] of [[6, "#000000"], [2.5, "#ffffff"]]) {
    pen.lineWidth = width;
    pen.strokeStyle = ink;
    pen.strokeRect(cursor[1] * wide, cursor[0] * tall, wide, tall);
  }
}

function stripes(pen, [left, top, width, height]) {
  pen.fillStyle = "#2a2f38";
  pen.fillRect(left, top, width, height);
  pen.strokeStyle = "#5b6473";
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(left, top + height);
  pen.lineTo(left + width, top);
  pen.stroke();
}

// The border between patches that are read and others.
function outline(pen, kept, wide, tall) {
  const read = (row, column) => Boolean(kept[row]?.[column]);
  pen.beginPath();
  for (let row = 0; row <= kept.length; row++) {
    for (let column = 0; column <= kept[0].length; column++) {
      const x = column * wide, y = row * tall;
      if (read(row, column) !== read(row, column - 1)) { pen.moveTo(x, y); pen.lineTo(x, y + tall); }
      if (read(row, column) !== read(row - 1, column)) { pen.moveTo(x, y); pen.lineTo(x + wide, y); }
    }
  }
  for (const [width, ink] of [[5, "#000000"], [2.5, KEPT]]) {
    pen.lineWidth = width;
    pen.strokeStyle = ink;
    pen.stroke();
  }
}
