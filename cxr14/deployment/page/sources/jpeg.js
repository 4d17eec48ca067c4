/* JPEG files: their header is checked here, their pixels are decoded by the browser.

Browsers turn pictures by their EXIF orientation and change values by their colour profile; Pillow does
neither. So both segments are left out of what the browser gets; an orientation is a warning. */

const EXIF_SEGMENT = 0xe1; // APP1
const EXIF_SIGNATURE = [0x45, 0x78, 0x69, 0x66, 0, 0]; // "Exif", and two bytes of 0
const PROFILE_SEGMENT = 0xe2; // APP2
const NO_FRAME = [0xc4, 0xc8, 0xcc]; // markers among those of frames that begin none

function isJpeg(bytes) {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

/** Decode a JPEG file to a Radiograph. */
async function decodeJpeg(bytes) {
  const { plain, frame, exif } = readSegments(bytes);
  if (!frame) throw new Refusal("truncated");
  requireSize(frame.width, frame.height);
  if (![1, 3].includes(frame.components)) throw new Refusal("printColours");
  const pixels = await browserPixels(new Blob(plain, { type: "image/jpeg" }), frame);
  if (frame.components === 3) return fromColours(pixels, 4, frame.width, frame.height, exif);
  const gray = new Uint8Array(frame.width * frame.height);
  for (let i = 0; i < gray.length; i++) gray[i] = pixels[4 * i];
  return new Radiograph(gray, frame.width, frame.height, turnedWarnings(exif));
}

/** Return the parts of a file without metadata, and what its header says of the picture. */
function readSegments(bytes) {
  const plain = [bytes.subarray(0, 2)];
  let [at, frame, exif] = [2, null, null];
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw new Refusal("damaged");
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1; // a fill byte
      continue;
    }
    const next = at + 2 + ((bytes[at + 2] << 8) | bytes[at + 3]);
    const segment = bytes.subarray(at, next);
    if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAME.includes(marker)) frame = readFrame(segment);
    if (marker === 0xda) {
      // The picture itself. Browsers show one that is cut off as far as it goes, so its end has to be there.
      if (!hasEnd(bytes, next)) throw new Refusal("truncated");
      plain.push(bytes.subarray(at));
      return { plain, frame, exif };
    }
    const isExif = EXIF_SIGNATURE.every((byte, place) => byte === segment[4 + place]);
    if (marker === EXIF_SEGMENT && isExif) exif ??= segment.subarray(4 + EXIF_SIGNATURE.length);
    if (marker !== EXIF_SEGMENT && marker !== PROFILE_SEGMENT) plain.push(segment);
    at = next;
  }
  throw new Refusal("truncated");
}

function readFrame(segment) {
  if (segment.length < 10) throw new Refusal("damaged");
  const view = new DataView(segment.buffer, segment.byteOffset);
  return { height: view.getUint16(5), width: view.getUint16(7), components: segment[9] };
}

/** Return whether the mark of the end follows: in coded data 0xff stands before 0 and restart marks alone. */
function hasEnd(bytes, from) {
  for (let at = from; at + 1 < bytes.length; at++) {
    if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return true;
  }
  return false;
}

/** Decode a picture by the browser: 4 bytes for each pixel, of which gray pictures need the first alone. */
async function browserPixels(blob, { width, height }) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Refusal("damaged");
  }
  if (bitmap.width !== width || bitmap.height !== height) throw new Refusal("damaged");
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height).data;
}
