/* A radiograph on the canvas, with the heat map of a finding, as predict.py draws it. */

const LONGEST_SIDE = 768; // pixels of a drawing
const STRONGEST = 0.6; // share of colour where the map is highest: the lung beneath stays visible
const FRAME = "rgb(150 150 150)";
// Yellow, orange, red: seen on the dark lung and on the bright heart alike, and none a gray of the radiograph.
const HEAT_COLOURS = [
  [255, 240, 120],
  [250, 140, 40],
  [160, 0, 40],
];
const HEAT_TABLE = Array.from({ length: 256 }, (_, level) => heatColour(level / 255));

/** Draw a radiograph in its own proportions, with a heat map where one is given. */
async function drawRadiograph(canvas, { gray, width, height }, heatMap) {
  const picture = new ImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < gray.length; i++) pixels[i] = 0xff000000 | (gray[i] * 0x010101);
  const bitmap = await createImageBitmap(picture);
  const scale = LONGEST_SIDE / Math.max(width, height);
  canvas.width = Math.max(Math.round(width * scale), 1);
  canvas.height = Math.max(Math.round(height * scale), 1);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  if (heatMap) drawHeatMap(context, heatMap);
}

/** Colour the part that the model saw, and frame it. */
function drawHeatMap(context, heatMap) {
  const { read_side: side, image_size: crop } = CARD.preprocessing;
  const [from, to] = [(side - crop) / 2 / side, (side + crop) / 2 / side];
  const [left, right] = [from, to].map((end) => Math.round(context.canvas.width * end));
  const [top, bottom] = [from, to].map((end) => Math.round(context.canvas.height * end));
  const [width, height] = [Math.max(right - left, 1), Math.max(bottom - top, 1)];
  const picture = context.getImageData(left, top, width, height);
  const levels = stretch(heatMap);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const level = interpolate(levels, (x + 0.5) / width, (y + 0.5) / height);
      const colour = HEAT_TABLE[Math.floor(level * 255)];
      for (let channel = 0; channel < 3; channel++) {
        const gray = picture.data[at + channel];
        picture.data[at + channel] = gray + (colour[channel] - gray) * level * STRONGEST;
      }
    }
  }
  context.putImageData(picture, left, top);
  context.strokeStyle = FRAME;
  context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
}

/** Return the cells between 0, for the lowest, and 1, for the highest. */
function stretch(heatMap) {
  const [lowest, highest] = rangeOf(heatMap);
  return Array.from(heatMap, (cell) => (highest > lowest ? (cell - lowest) / (highest - lowest) : 0));
}

/** Return the value of a map at a place of its square, bilinear between the middles of its cells. */
function interpolate(levels, x, y) {
  const cells = Math.sqrt(levels.length);
  const column = Math.min(Math.max(x * cells - 0.5, 0), cells - 1);
  const row = Math.min(Math.max(y * cells - 0.5, 0), cells - 1);
  const left = Math.floor(column);
  const right = Math.min(left + 1, cells - 1);
  const top = Math.floor(row) * cells;
  const bottom = Math.min(Math.floor(row) + 1, cells - 1) * cells;
  const upper = levels[top + left] + (levels[top + right] - levels[top + left]) * (column - left);
  const lower = levels[bottom + left] + (levels[bottom + right] - levels[bottom + left]) * (column - left);
  return upper + (lower - upper) * (row - Math.floor(row));
}

function heatColour(level) {
  const place = level * (HEAT_COLOURS.length - 1);
  const first = Math.min(Math.floor(place), HEAT_COLOURS.length - 2);
  const next = HEAT_COLOURS[first + 1];
  return HEAT_COLOURS[first].map((channel, i) => channel + (next[i] - channel) * (place - first));
}

/** Say in words where a heat map is highest, for those who do not see it. */
function describeHeatMap(heatMap) {
  const [lowest, highest] = rangeOf(heatMap);
  if (highest === lowest) return { id: "evenMap" };
  const cells = Math.sqrt(heatMap.length);
  const peak = heatMap.indexOf(highest);
  const third = (cell) => Math.min(Math.floor(((cell + 0.5) / cells) * 3), 2);
  const row = ["upper", "middle", "lower"][third(Math.floor(peak / cells))];
  const column = ["Left", "Centre", "Right"][third(peak % cells)];
  return { id: "mapPeak", values: { place: { id: `${row}${column}` } } };
}
