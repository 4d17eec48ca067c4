/* PNG files, decoded here and not by the browser: every bit depth stays what it is, and no browser's colour
management touches a gray value. The format: https://www.w3.org/TR/png-3/ */

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

// Colour type -> channels, and the bit depths that Pillow reads.
const PNG_TYPES = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, depths: [8, 16] },
  3: { channels: 1, depths: [1, 2, 4, 8] },
  4: { channels: 2, depths: [8, 16] },
  6: { channels: 4, depths: [8, 16] },
};

// First column and row, then the steps, of each pass of an interlaced picture.
const INTERLACED = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

function isPng(bytes) {
  return PNG_SIGNATURE.every((byte, place) => bytes[place] === byte);
}

/** Decode a PNG file to a Radiograph. */
async function decodePng(bytes) {
  const png = readChunks(bytes);
  const { width, height, interlaced } = png;
  const passes = (interlaced ? INTERLACED : [[0, 0, 1, 1]]).map(([x, y, stepX, stepY]) => ({
    ...{ x, y, stepX, stepY },
    width: Math.ceil((width - x) / stepX),
    height: Math.ceil((height - y) / stepY),
  }));
  const used = passes.filter((pass) => pass.width > 0 && pass.height > 0);
  const size = used.reduce((sum, pass) => sum + pass.height * (1 + rowBytes(png, pass.width)), 0);
  const filtered = await inflate(png.data, size);
  const { channels } = PNG_TYPES[png.type];
  const samples = new (png.depth === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  let at = 0;
  for (const pass of used) {
    const length = rowBytes(png, pass.width);
    let above = new Uint8Array(length);
    for (let y = 0; y < pass.height; y++, at += 1 + length) {
      const row = filtered.subarray(at + 1, at + 1 + length);
      unfilter(filtered[at], row, above, Math.max((channels * png.depth) >> 3, 1));
      const target = ((pass.y + y * pass.stepY) * width + pass.x) * channels;
      unpackRow(png.depth, row, pass.width, channels, samples, target, pass.stepX * channels);
      above = row;
    }
  }
  return asRadiograph(png, samples);
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const png = { data: [] };
  let at = PNG_SIGNATURE.length;
  while (at + 8 <= bytes.length) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (["IHDR", "PLTE"].includes(kind)) requireChecksum(bytes, at, length);
    if (kind === "IHDR") Object.assign(png, readHeader(body));
    if (png.width === undefined) throw new Refusal("notAPicture");
    // An animation tells the number of its pictures before the first of them.
    if (kind === "acTL" && !png.data.length && view.getUint32(at + 8) > 1) throw new Refusal("severalPictures");
    if (kind === "PLTE") png.palette = body;
    if (kind === "eXIf") png.exif = body;
    if (kind === "IDAT") png.data.push(body);
    if (kind === "IEND") break;
    at += 12 + length;
  }
  if (!png.data.length) throw new Refusal("notAPicture");
  if (png.type === 3 && !png.palette) throw new Refusal("damaged");
  return png;
}

/** Refuse a chunk whose CRC-32 is not that of its name and body. */
function requireChecksum(bytes, at, length) {
  let sum = -1;
  for (const byte of bytes.subarray(at + 4, at + 8 + length)) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  const stored = bytes.subarray(at + 8 + length, at + 12 + length);
  if (stored.length < 4) throw new Refusal("truncated");
  if (new DataView(stored.buffer, stored.byteOffset).getInt32(0) !== ~sum) throw new Refusal("notAPicture");
}

function readHeader(body) {
  if (body.length < 13) throw new Refusal("notAPicture");
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, type, interlaced] = [body[8], body[9], body[12] === 1];
  if (!PNG_TYPES[type]?.depths.includes(depth) || !width || !height) throw new Refusal("notAPicture");
  requireSize(width, height);
  return { width, height, depth, type, interlaced };
}

function rowBytes({ type, depth }, width) {
  return Math.ceil((width * PNG_TYPES[type].channels * depth) / 8);
}

/** Return the first `size` bytes of a zlib stream; no more of it is inflated than a piece. */
async function inflate(parts, size) {
  const reader = decompress(parts, "deflate").getReader();
  const result = new Uint8Array(size);
  let have = 0;
  while (have < size) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      // A stream that ends too early is an error of the same type as one that is damaged.
      throw new Refusal(/end|complete|trunc/i.test(error.message) ? "truncated" : "damaged");
    }
    if (piece.done) throw new Refusal("truncated");
    result.set(piece.value.subarray(0, size - have), have);
    have += piece.value.length;
  }
  reader.cancel().catch(() => {}); // what is left may be damaged, and is not needed
  return result;
}

/** Undo the filter of a row in place; `step` bytes lie between a byte and its neighbour on the left. */
function unfilter(filter, row, above, step) {
  const { length } = row;
  if (filter === 1) {
    for (let i = step; i < length; i++) row[i] += row[i - step];
  } else if (filter === 2) {
    for (let i = 0; i < length; i++) row[i] += above[i];
  } else if (filter === 3) {
    for (let i = 0; i < Math.min(step, length); i++) row[i] += above[i] >> 1;
    for (let i = step; i < length; i++) row[i] += (row[i - step] + above[i]) >> 1;
  } else if (filter === 4) {
    for (let i = 0; i < Math.min(step, length); i++) row[i] += above[i];
    for (let i = step; i < length; i++) row[i] += paeth(row[i - step], above[i], above[i - step]);
  } else if (filter !== 0) {
    throw new Refusal("damaged");
  }
}

/** Return the neighbour that is nearest to left + up - upperLeft. */
function paeth(left, up, upperLeft) {
  const toLeft = Math.abs(up - upperLeft);
  const toUp = Math.abs(left - upperLeft);
  const toUpperLeft = Math.abs(left + up - 2 * upperLeft);
  if (toLeft <= toUp && toLeft <= toUpperLeft) return left;
  return toUp <= toUpperLeft ? up : upperLeft;
}

/** Spread the samples of a row over the picture, from `target` on, a pixel every `step` samples. */
function unpackRow(depth, row, width, channels, samples, target, step) {
  if (depth === 8 && step === channels) {
    samples.set(row, target);
    return;
  }
  for (let x = 0, i = 0; x < width; x++) {
    for (let channel = 0; channel < channels; channel++, i++) {
      let value;
      if (depth === 8) value = row[i];
      else if (depth === 16) value = (row[2 * i] << 8) | row[2 * i + 1];
      else value = (row[(i * depth) >> 3] >> (8 - depth - ((i * depth) & 7))) & ((1 << depth) - 1);
      samples[target + x * step + channel] = value;
    }
  }
}

/** Make gray of the samples as Pillow does: transparency is dropped, colours of 16 bits lose the lower eight. */
function asRadiograph({ width, height, depth, type, palette, exif }, samples) {
  const { channels } = PNG_TYPES[type];
  const gray = (values) => new Radiograph(values, width, height, turnedWarnings(exif));
  if (type === 0 && depth === 16) return gray(eightBits(samples));
  const bytes = depth === 16 ? Uint8Array.from(samples, (value) => value >> 8) : samples;
  if (type === 0 && depth === 8) return gray(bytes);
  if (type === 0) {
    const white = (1 << depth) - 1;
    return gray(bytes.map((value) => (value * 255) / white));
  }
  if (type === 4) return gray(bytes.filter((_, place) => place % 2 === 0));
  if (type !== 3) return fromColours(bytes, channels, width, height, exif);
  const colours = new Uint8Array(width * height * 3);
  bytes.forEach((index, place) => colours.set(palette.subarray(index * 3, index * 3 + 3), place * 3));
  return fromColours(colours, 3, width, height, exif);
}
