/* Gray values of 8 bits from other pixels, as Pillow makes them. */

const MOST_PIXELS = 64_000_000; // of the largest radiograph that is decoded

const LEAST_COLOUR = 5; // mean gray levels between a pixel's strongest and weakest channel; JPEG adds a few

const ORIENTATION_TAG = 0x112; // of EXIF
const [TIFF_LITTLE, TIFF_BIG] = [0x4949, 0x4d4d]; // "II" and "MM", which EXIF data begin with

/** A decoded radiograph: `gray` has a byte for each pixel, `warnings` are sentences about it. */
class Radiograph {
  constructor(gray, width, height, warnings = []) {
    this.gray = gray;
    this.width = width;
    this.height = height;
    this.warnings = [...warnings, ...(isConstant(gray) ? [{ id: "constant" }] : [])];
  }
}

/** Return the warning about a file whose EXIF orientation asks viewers to turn or mirror it. */
function turnedWarnings(exif) {
  const orientation = exif ? exifOrientation(exif) : 1;
  return orientation >= 2 && orientation <= 8 ? [{ id: "turned" }] : [];
}

/** Return the orientation in EXIF data, a TIFF header and its first directory; 1, upright, where there is none. */
function exifOrientation(exif) {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  try {
    const order = view.getUint16(0);
    if (![TIFF_LITTLE, TIFF_BIG].includes(order)) return 1;
    const little = order === TIFF_LITTLE;
    const directory = view.getUint32(4, little);
    for (let entry = 0; entry < view.getUint16(directory, little); entry++) {
      const at = directory + 2 + 12 * entry;
      if (view.getUint16(at, little) === ORIENTATION_TAG) return view.getUint16(at + 8, little);
    }
  } catch {
    // cut off: damaged metadata are no reason to refuse a picture
  }
  return 1;
}

/** Return the luma of colour values of 8 bits (ITU-R 601-2, in integers as Pillow computes it). */
function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/** Return the eight highest bits in use, so that 12 bits in a 16-bit file keep their contrast. */
function eightBits(values) {
  let brightest = 0;
  for (const value of values) if (value > brightest) brightest = value;
  const shift = Math.max(32 - Math.clz32(brightest) - 8, 0);
  return Uint8Array.from(values, (value) => value >> shift);
}

/** Refuse a picture before anything of it is decoded. */
function requireSize(width, height) {
  if (width * height > MOST_PIXELS) throw new Refusal("tooManyPixels", { millions: MOST_PIXELS / 1e6 });
}

/**
 * Return a radiograph from pixels that may have colours, with a warning where they show any.
 *
 * A coloured mark does not count: it is the mean over the picture, reduced to about 64 pixels, that decides.
 *
 * @param {Uint8Array} pixels channels of 8 bits, red, green and blue being the first three of each pixel.
 * @param {number} channels of each pixel, 3 or 4.
 * @param {Uint8Array} [exif] the file's EXIF data.
 */
function fromColours(pixels, channels, width, height, exif) {
  const gray = new Uint8Array(width * height);
  const box = Math.max(Math.floor(Math.min(width, height) / 64), 1);
  const columns = Math.ceil(width / box);
  const rows = Math.ceil(height / box);
  const sums = new Float64Array(columns * rows * 3);
  for (let y = 0, at = 0, pixel = 0; y < height; y++) {
    const row = Math.floor(y / box) * columns;
    for (let x = 0; x < width; x++, at += channels, pixel++) {
      const red = pixels[at];
      const green = pixels[at + 1];
      const blue = pixels[at + 2];
      gray[pixel] = luma(red, green, blue);
      const sum = (row + Math.floor(x / box)) * 3;
      sums[sum] += red;
      sums[sum + 1] += green;
      sums[sum + 2] += blue;
    }
  }
  let spread = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const area = Math.min(box, width - column * box) * Math.min(box, height - row * box);
      const at = (row * columns + column) * 3;
      const means = [0, 1, 2].map((channel) => Math.floor(sums[at + channel] / area + 0.5));
      spread += Math.max(...means) - Math.min(...means);
    }
  }
  const hasColour = spread / (columns * rows) > LEAST_COLOUR;
  const warnings = [...(hasColour ? [{ id: "colour" }] : []), ...turnedWarnings(exif)];
  return new Radiograph(gray, width, height, warnings);
}

function isConstant(gray) {
  for (const value of gray) if (value !== gray[0]) return false;
  return true;
}
