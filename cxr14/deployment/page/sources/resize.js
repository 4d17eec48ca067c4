/* Bilinear resizing with antialiasing, bit for bit as Pillow does it for 8-bit gray.

Pillow's resampling (src/libImaging/Resample.c): a triangle filter as wide as the output's pixels, along rows
first and then along columns, with weights as integers of 22 bits and 8 bits in between. */

const WEIGHT_BITS = 22;

/** Return the first input pixel and the weights of each output pixel along one axis. */
function resizeWeights(inputSide, outputSide) {
  const scale = inputSide / outputSide;
  const support = Math.max(scale, 1);
  const shrink = 1 / support;
  return Array.from({ length: outputSide }, (_, output) => {
    const centre = (output + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), inputSide);
    const weights = Array.from({ length: end - first }, (_, place) =>
      Math.max(1 - Math.abs((place + first - centre + 0.5) * shrink), 0),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return {
      first,
      weights: Int32Array.from(weights, (weight) => Math.trunc((weight / sum) * 2 ** WEIGHT_BITS + 0.5)),
    };
  });
}

/**
 * Resize a radiograph to a square, whatever its shape.
 *
 * @param {Uint8Array} gray height x width.
 * @returns {Uint8Array} side x side.
 */
function resize(gray, width, height, side) {
  const narrow = width === side ? gray : resizeRows(gray, width, height, side);
  return height === side ? narrow : resizeColumns(narrow, side, height, side);
}

function resizeRows(gray, width, height, side) {
  const columns = resizeWeights(width, side);
  const result = new Uint8Array(side * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < side; x++) {
      const { first, weights } = columns[x];
      let sum = 1 << (WEIGHT_BITS - 1);
      for (let i = 0, at = y * width + first; i < weights.length; i++, at++) sum += gray[at] * weights[i];
      result[y * side + x] = clip(sum);
    }
  }
  return result;
}

function resizeColumns(gray, width, height, side) {
  const rows = resizeWeights(height, side);
  const result = new Uint8Array(width * side);
  const sums = new Int32Array(width);
  for (let y = 0; y < side; y++) {
    const { first, weights } = rows[y];
    sums.fill(1 << (WEIGHT_BITS - 1));
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i];
      const start = (first + i) * width;
      for (let x = 0; x < width; x++) sums[x] += gray[start + x] * weight;
    }
    for (let x = 0; x < width; x++) result[y * width + x] = clip(sums[x]);
  }
  return result;
}

function clip(sum) {
  const value = sum >> WEIGHT_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** Return the centre of a square as Python rounds its first pixel: halves to the even number. */
function centreCrop(square, side, crop) {
  const half = (side - crop) / 2;
  const start = half % 1 === 0.5 ? 2 * Math.round(half / 2) : Math.round(half);
  const result = new Uint8Array(crop * crop);
  for (let y = 0; y < crop; y++) {
    const at = (y + start) * side + start;
    result.set(square.subarray(at, at + crop), y * crop);
  }
  return result;
}
