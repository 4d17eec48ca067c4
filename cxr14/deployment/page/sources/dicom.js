/* DICOM files: the tags of the picture, and its stored values. No tag about a patient is read.

The checks, their order and their sentences are those of predict.py (cxr14/data/dicom.py). */

const MOST_BYTES = 256_000_000;

const TAGS = {
  syntax: "x00020010",
  samples: "x00280002",
  interpretation: "x00280004",
  frames: "x00280008",
  rows: "x00280010",
  columns: "x00280011",
  bitsAllocated: "x00280100",
  bitsStored: "x00280101",
  signed: "x00280103",
  windowCentre: "x00281050",
  windowWidth: "x00281051",
  intercept: "x00281052",
  slope: "x00281053",
  windowFunction: "x00281056",
  modalityTable: "x00283000",
  tableDescriptor: "x00283002",
  tableData: "x00283006",
  voiTable: "x00283010",
  viewPosition: "x00185101",
  pixels: "x7fe00010",
};

const SYNTAX = "1.2.840.10008.1.2";
const UNCOMPRESSED = [SYNTAX, `${SYNTAX}.1`, `${SYNTAX}.2`];
const BIG_ENDIAN = `${SYNTAX}.2`;
const DEFLATED = `${SYNTAX}.1.99`;
const JPEG_BASELINE = `${SYNTAX}.4.50`;
const JPEG_EXTENDED = `${SYNTAX}.4.51`;
const JPEG_LOSSLESS = [`${SYNTAX}.4.57`, `${SYNTAX}.4.70`];
// RLE, JPEG-LS and JPEG 2000: predict.py reads them.
const OTHER_COMPRESSIONS = [`${SYNTAX}.5`, ...[80, 81, 90, 91].map((number) => `${SYNTAX}.4.${number}`)];

// Of compressed pixels. Larger than this, they have to fill some of the file.
const MOST_PIXELS_OF_FEW_BYTES = 10_000_000;
const MOST_PIXELS_A_BYTE = 1000;

const LATERAL = ["LL", "RL", "LLD", "RLD", "LATERAL"];

/** Return whether a file has DICOM's mark after its 128 bytes of preamble. */
function isDicom(bytes) {
  return String.fromCharCode(...bytes.subarray(128, 132)) === "DICM";
}

/** Decode a DICOM file to a Radiograph. */
async function decodeDicom(bytes) {
  const data = readTags(bytes);
  const { rows, columns, bitsAllocated, bitsStored } = pictureOf(data);
  const isKnown = [0, 1].includes(data.uint16(TAGS.signed)) && bitsStored >= 1 && bitsStored <= bitsAllocated;
  if (!isKnown) throw new Refusal("undecodable");
  const stored = correctUnusedBits(data, await storedValues(data, bytes));
  const view = (data.string(TAGS.viewPosition) ?? "").toUpperCase();
  const warnings = LATERAL.includes(view) ? [{ id: "lateral" }] : [];
  return new Radiograph(displayedGray(data, stored), columns, rows, warnings);
}

function pictureOf(data) {
  return {
    rows: data.uint16(TAGS.rows),
    columns: data.uint16(TAGS.columns),
    bitsAllocated: data.uint16(TAGS.bitsAllocated),
    bitsStored: data.uint16(TAGS.bitsStored),
    isSigned: data.uint16(TAGS.signed) === 1,
  };
}

function readTags(bytes) {
  let data;
  try {
    // Its content would be inflated before anything could be checked.
    if (dicomParser.readPart10Header(bytes).string(TAGS.syntax) === DEFLATED) throw new Refusal("deflated");
    data = dicomParser.parseDicom(bytes, { untilTag: TAGS.pixels });
  } catch (error) {
    if (error instanceof Refusal) throw error;
    data = error.dataSet; // the tags in front of the damage
    if (!data) throw new Refusal("damagedDicom");
  }
  const { rows, columns } = pictureOf(data);
  const interpretation = data.string(TAGS.interpretation);
  const frames = data.intString(TAGS.frames) ?? 1;
  if (rows === undefined || columns === undefined || !interpretation) throw new Refusal("damagedDicom");
  if (!data.elements[TAGS.pixels]) throw new Refusal("noPicture");
  if (frames !== 1) throw new Refusal("frames", { frames });
  const isGray = (data.uint16(TAGS.samples) ?? 1) === 1 && /^MONOCHROME[12]$/.test(interpretation);
  if (!isGray) throw new Refusal("dicomColour");
  if (rows * columns < 1 || rows * columns > MOST_PIXELS) {
    throw new Refusal("dicomSize", { rows: rows.toLocaleString("en"), columns: columns.toLocaleString("en") });
  }
  return data;
}

/** Return the stored value of each pixel, as the file's compression gives them. */
async function storedValues(data, bytes) {
  const syntax = data.string(TAGS.syntax);
  if (UNCOMPRESSED.includes(syntax)) return uncompressedValues(data, bytes, syntax === BIG_ENDIAN);
  if (syntax === JPEG_EXTENDED) throw new Refusal("needsTool");
  if (OTHER_COMPRESSIONS.includes(syntax)) throw new Refusal("compressed");
  if (syntax !== JPEG_BASELINE && !JPEG_LOSSLESS.includes(syntax)) throw new Refusal("undecodable");
  const { rows, columns, bitsAllocated } = pictureOf(data);
  const stream = joinFragments(bytes);
  if (rows * columns > Math.max(MOST_PIXELS_OF_FEW_BYTES, MOST_PIXELS_A_BYTE * stream.length)) {
    throw new Refusal("claims", { rows: rows.toLocaleString("en"), columns: columns.toLocaleString("en") });
  }
  let frame;
  try {
    ({ frame } = readSegments(stream));
  } catch {
    throw new Refusal("undecodable");
  }
  if (frame && (frame.height !== rows || frame.width !== columns)) throw new Refusal("otherSize");
  if (frame?.components !== 1) throw new Refusal("undecodable");
  try {
    if (syntax === JPEG_BASELINE) {
      const pixels = await browserPixels(new Blob([stream], { type: "image/jpeg" }), frame);
      return Int32Array.from({ length: rows * columns }, (_, place) => pixels[4 * place]);
    }
    return losslessValues(stream, rows * columns, bitsAllocated / 8);
  } catch {
    throw new Refusal("undecodable");
  }
}

function losslessValues(stream, count, bytesEach) {
  // The decoder looks a byte ahead, and would lose a last pixel that ends with the coded data.
  const end = stream.findLastIndex((byte, place) => byte === 0xff && stream[place + 1] === 0xd9);
  const padded = new Uint8Array(end + 3);
  padded.set(stream.subarray(0, end));
  padded.set([0, 0xff, 0xd9], end);
  const { buffer } = new jpegLossless.Decoder().decode(padded.buffer, 0, padded.length, bytesEach);
  const values = bytesEach === 1 ? new Uint8Array(buffer) : new Uint16Array(buffer);
  if (values.length < count) throw new Refusal("undecodable");
  return Int32Array.from(values.subarray(0, count));
}

function uncompressedValues(data, bytes, isBigEndian) {
  const { rows, columns, bitsAllocated } = pictureOf(data);
  const { dataOffset, length } = data.elements[TAGS.pixels];
  const needed = (rows * columns * bitsAllocated) / 8;
  if (![8, 16].includes(bitsAllocated) || length < needed) throw new Refusal("undecodable");
  // A copy, because a view of 16-bit values has to begin at an even byte.
  const stored = bytes.slice(dataOffset, dataOffset + needed);
  if (stored.length < needed) throw new Refusal("undecodable");
  if (bitsAllocated === 8) return Int32Array.from(stored);
  if (isBigEndian) {
    for (let i = 0; i < stored.length; i += 2) [stored[i], stored[i + 1]] = [stored[i + 1], stored[i]];
  }
  return Int32Array.from(new Uint16Array(stored.buffer));
}

/** Return the one compressed picture, which may lie in several pieces. */
function joinFragments(bytes) {
  let fragments;
  try {
    ({ fragments } = dicomParser.parseDicom(bytes).elements[TAGS.pixels]);
  } catch {
    throw new Refusal("undecodable");
  }
  if (!fragments?.length) throw new Refusal("undecodable");
  const stream = new Uint8Array(fragments.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const { position, length } of fragments) {
    stream.set(bytes.subarray(position, position + length), at);
    at += length;
  }
  return stream;
}

/** Drop the bits above those in use; the highest of these is the sign of a signed value. */
function correctUnusedBits(data, stored) {
  const { bitsStored, isSigned } = pictureOf(data);
  const unused = 32 - bitsStored;
  return stored.map((value) => (isSigned ? (value << unused) >> unused : (value << unused) >>> unused));
}
