"use strict";
// From a picture to 28 x 28 pixels and a verdict: pipeline/reading/ and pipeline/export/construction.py for one digit, in JavaScript.
// A grey picture or a mask is {width, height, data}, row by row.

const SIDE = 28, BOX = 20, SMALLEST = 100, LARGEST = 200, LEAN = 0.15;
const THINNEST = 2, USUAL = 2.7, THICKEST = 4.2, VANISHING = 2;

const grey = (width, height) => ({ width, height, data: new Float32Array(width * height) });

// As Python and NumPy round: a half to the even number.
function rounded(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2) ? floor + 1 : floor;
}

function percentile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = (sorted.length - 1) * share / 100, low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

// ---------- resampling

function weights(before, after) {
  const scale = before / after, rows = [];
  for (let place = 0; place < after; place++) {
    const row = [];
    if (scale <= 1) {
      const middle = Math.min(Math.max((place + 0.5) * scale - 0.5, 0), before - 1);
      for (let old = Math.max(0, Math.floor(middle)); old <= Math.min(before - 1, middle + 1); old++) {
        const weight = 1 - Math.abs(middle - old);
        if (weight > 0) row.push([old, weight]);
      }
    } else {
      const start = place * scale;
      for (let old = Math.floor(start); old < Math.min(before, start + scale); old++) {
        const overlap = Math.min(start + scale, old + 1) - Math.max(start, old);
        if (overlap > 0) row.push([old, Math.min(overlap, 1) / scale]);
      }
    }
    rows.push(row);
  }
  return rows;
}

function resized(image, width, height) {
  const between = grey(image.width, height), result = grey(width, height);
  weights(image.height, height).forEach((row, y) => {
    for (let x = 0; x < image.width; x++) {
      let sum = 0;
      for (const [old, weight] of row) sum += weight * image.data[old * image.width + x];
      between.data[y * image.width + x] = sum;
    }
  });
  weights(image.width, width).forEach((row, x) => {
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (const [old, weight] of row) sum += weight * between.data[y * image.width + old];
      result.data[y * width + x] = sum;
    }
  });
  return result;
}

function averaged(image, factor) {
  if (factor === 1) return image;
  const result = grey(Math.ceil(image.width / factor), Math.ceil(image.height / factor));
  for (let y = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++) {
      let sum = 0;
      for (let row = y * factor; row < (y + 1) * factor; row++) {
        for (let column = x * factor; column < (x + 1) * factor; column++) {
          sum += image.data[Math.min(row, image.height - 1) * image.width + Math.min(column, image.width - 1)];
        }
      }
      result.data[y * result.width + x] = sum / factor ** 2;
    }
  }
  return result;
}

// Rows move sideways; with `upwards`, columns up and down.
function sheared(image, slant, upwards) {
  const lines = upwards ? image.width : image.height;
  const offsets = Array.from({ length: lines }, (_, line) => rounded(slant * (line - lines / 2)));
  const least = Math.min(...offsets), extra = Math.max(...offsets) - least;
  const result = upwards ? grey(image.width, image.height + extra) : grey(image.width + extra, image.height);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      const [row, column] = upwards ? [y + offsets[x] - least, x] : [y, x + offsets[y] - least];
      result.data[row * result.width + column] = image.data[y * image.width + x];
    }
  }
  return result;
}

// ---------- distances and parts

// The square of the distance to the nearest pixel that is 0 (Felzenszwalb and Huttenlocher, 2012).
function squaredDistances(mask) {
  const { width, height } = mask, far = 1e12;
  const result = Float64Array.from(mask.data, (value) => (value ? far : 0));
  const along = (count, at) => {
    const values = Float64Array.from({ length: count }, (_, place) => result[at(place)]);
    const roots = new Int32Array(count), limits = new Float64Array(count + 1);
    let last = 0;
    limits[0] = -Infinity; limits[1] = Infinity;
    for (let place = 1; place < count; place++) {
      let limit;
      do {
        const root = roots[last];
        limit = (values[place] + place ** 2 - values[root] - root ** 2) / (2 * (place - root));
      } while (limit <= limits[last] && --last >= 0);
      roots[++last] = place; limits[last] = limit; limits[last + 1] = Infinity;
    }
    for (let place = 0, parabola = 0; place < count; place++) {
      while (limits[parabola + 1] < place) parabola++;
      result[at(place)] = (place - roots[parabola]) ** 2 + values[roots[parabola]];
    }
  };
  for (let x = 0; x < width; x++) along(height, (y) => y * width + x);
  for (let y = 0; y < height; y++) along(width, (x) => y * width + x);
  return result;
}

function padded(image, margin) {
  const result = grey(image.width + 2 * margin, image.height + 2 * margin);
  for (let y = 0; y < image.height; y++) {
    result.data.set(image.data.subarray(y * image.width, (y + 1) * image.width), (y + margin) * result.width + margin);
  }
  return result;
}

function strokeWidth(mask) {
  const wide = padded(mask, 1), squares = squaredDistances(wide), depths = [];
  for (let y = 1; y < wide.height - 1; y++) {
    for (let x = 1; x < wide.width - 1; x++) {
      const here = squares[y * wide.width + x];
      let highest = here > 0;
      for (let row = y - 1; row <= y + 1 && highest; row++) {
        for (let column = x - 1; column <= x + 1; column++) {
          if (squares[row * wide.width + column] > here) highest = false;
        }
      }
      if (highest) depths.push(Math.sqrt(here));
    }
  }
  return depths.length ? 2 * percentile(depths, 50) - 0.5 : 1;
}

function connected(mask) {
  const { width, height } = mask, labels = new Int32Array(width * height), parts = [];
  for (let start = 0; start < labels.length; start++) {
    if (!mask.data[start] || labels[start]) continue;
    const part = { left: width, top: height, right: 0, bottom: 0, area: 0, numbers: [parts.length + 1] };
    const waiting = [start];
    labels[start] = parts.length + 1;
    while (waiting.length) {
      const place = waiting.pop(), x = place % width, y = (place - x) / width;
      part.area++;
      part.left = Math.min(part.left, x); part.right = Math.max(part.right, x + 1);
      part.top = Math.min(part.top, y); part.bottom = Math.max(part.bottom, y + 1);
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const other = row * width + column;
          if (mask.data[other] && !labels[other]) { labels[other] = part.numbers[0]; waiting.push(other); }
        }
      }
    }
    parts.push(part);
  }
  return { labels, parts };
}

// ---------- the form of MNIST

function cropped(image, level = 0) {
  let left = image.width, right = 0, top = image.height, bottom = 0;
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      if (image.data[y * image.width + x] > level) {
        left = Math.min(left, x); right = Math.max(right, x + 1);
        top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
      }
    }
  }
  const result = grey(right - left, bottom - top);
  for (let y = top; y < bottom; y++) {
    result.data.set(image.data.subarray(y * image.width + left, y * image.width + right), (y - top) * result.width);
  }
  return result;
}

const masked = (image, test) => ({ ...image, data: Float32Array.from(image.data, (value, place) => (test(value, place) ? 1 : 0)) });

function workingSize(ink) {
  const digit = cropped(ink, 0.5), side = Math.max(digit.width, digit.height);
  const scale = Math.min(Math.max(side, SMALLEST), LARGEST) / side;
  if (scale === 1) return masked(digit, (value) => value > 0.5);
  let wide = padded(digit, 1);
  // Strokes that would vanish are made thicker before.
  if (scale < 1 && strokeWidth(masked(digit, (value) => value > 0.5)) * scale < VANISHING) {
    const reach = Math.ceil(1 / scale);
    wide = filtered(padded(digit, reach), reach, false, (values) => Math.max(...values));
  }
  const small = resized(wide, ...[wide.width, wide.height].map((length) => Math.max(1, rounded(length * scale))));
  const level = Math.min(0.5, 0.99 * range(small.data)[1]);
  return masked(small, (value) => value > level);
}

function withUsualStrokes(mask) {
  const digit = cropped(mask), pixel = Math.max(digit.width, digit.height) / BOX;
  const width = strokeWidth(digit) / pixel;
  if (width < THINNEST) {
    const radius = (USUAL - width) / 2 * pixel;
    const wide = padded(digit, Math.ceil(radius) + 1);
    const distances = squaredDistances(masked(wide, (value) => !value));
    return cropped(masked(wide, (_, place) => Math.sqrt(distances[place]) <= radius));
  }
  if (width > THICKEST) {
    const radius = Math.min((width - THICKEST) / 2, 0.3 * width) * pixel, wide = padded(digit, 1);
    const distances = squaredDistances(wide);
    const thinner = masked(wide, (_, place) => Math.sqrt(distances[place]) > radius);
    if (connected(thinner).parts.length === connected(digit).parts.length) return cropped(thinner);
  }
  return digit;
}

function framed(mask) {
  const digit = cropped(mask), scale = BOX / Math.max(digit.width, digit.height);
  const small = resized(digit, ...[digit.width, digit.height].map((length) => Math.max(1, rounded(length * scale))));
  small.data = small.data.map((value) => Math.min(value, 1));
  let sum = 0, sumX = 0, sumY = 0;
  small.data.forEach((value, place) => {
    sum += value; sumX += value * (place % small.width); sumY += value * Math.floor(place / small.width);
  });
  const start = (mass, length) => Math.min(Math.max(Math.trunc(SIDE / 2 + 0.5 - mass), 0), SIDE - length);
  const left = start(sumX / sum, small.width), top = start(sumY / sum, small.height);
  const image = new Float32Array(SIDE * SIDE);
  for (let y = 0; y < small.height; y++) {
    image.set(small.data.subarray(y * small.width, (y + 1) * small.width), (top + y) * SIDE + left);
  }
  return image;
}

function mnistImages(ink) {
  const digit = withUsualStrokes(workingSize(ink));
  return [
    digit, sheared(digit, LEAN, false), sheared(digit, -LEAN, false), sheared(digit, LEAN, true), sheared(digit, -LEAN, true),
  ].map(framed);
}

// ---------- ink: pipeline/reading/ink.py

const FEWEST_PIXELS = 40, CLEAR = 0.95, UNEVEN = 0.12, LEAST_CONTRAST = 0.06, MORE_INK = 1.3, LARGEST_GRAIN = 40, DENSE = 0.15, MOST_LEVELS = 3;

function range(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  return [low, high];
}

// The threshold that leaves two classes with the least variance within (Otsu, 1979).
function otsu(values) {
  const [low, high] = range(values);
  if (high - low < 1e-5) return high;
  const bins = 256, counts = new Float64Array(bins);
  for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) / (high - low) * bins))]++;
  const centre = (bin) => low + (high - low) * (bin + 0.5) / bins;
  let all = 0;
  counts.forEach((count, bin) => { all += centre(bin) * count / values.length; });
  let share = 0, mean = 0;
  const between = Array.from(counts, (count, bin) => {
    share += count / values.length; mean += centre(bin) * count / values.length;
    return share > 0 && share < 1 - 1e-12 ? (all * share - mean) ** 2 / (share * (1 - share)) : 0;
  });
  const best = Math.max(...between);
  const bins_ = between.flatMap((value, bin) => (value >= best - 1e-12 ? [centre(bin)] : []));
  return bins_.reduce((sum, value) => sum + value, 0) / bins_.length;
}

function moments(values, test) {
  let count = 0, sum = 0, squares = 0;
  values.forEach((value) => { if (test(value)) { count++; sum += value; squares += value * value; } });
  const mean = sum / count;
  return { count, mean, deviation: Math.sqrt(Math.max(0, squares / count - mean ** 2)) };
}

// A filter along both axes; beyond the edge are the nearest pixels, or with `mirror` the reflected ones.
function filtered(image, radius, mirror, reduce) {
  const index = (place, length) => {
    if (!mirror) return Math.min(Math.max(place, 0), length - 1);
    const turn = ((place % (2 * length)) + 2 * length) % (2 * length);
    return turn < length ? turn : 2 * length - 1 - turn;
  };
  let current = image;
  for (const [count, length, step, jump] of [
    [image.width, image.height, image.width, 1], [image.height, image.width, 1, image.width],
  ]) {
    const next = grey(image.width, image.height), window = new Float64Array(2 * radius + 1);
    for (let line = 0; line < count; line++) {
      for (let place = 0; place < length; place++) {
        for (let at = -radius; at <= radius; at++) window[at + radius] = current.data[line * jump + index(place + at, length) * step];
        next.data[line * jump + place * step] = reduce(window);
      }
    }
    current = next;
  }
  return current;
}

function smoothed(image, deviation, mirror) {
  const radius = Math.floor(4 * deviation + 0.5);
  const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, at) => Math.exp(-0.5 * ((at - radius) / deviation) ** 2));
  const sum = kernel.reduce((one, other) => one + other, 0);
  return filtered(image, radius, mirror, (window) => window.reduce((total, value, at) => total + value * kernel[at], 0) / sum);
}

function inkIsDark(image) {
  const { width, height, data } = image, level = otsu(data);
  let whole = 0, border = 0;
  data.forEach((value) => { whole += value > level; });
  for (let x = 0; x < width; x++) border += (data[x] > level) + (data[(height - 1) * width + x] > level);
  for (let y = 0; y < height; y++) border += (data[y * width] > level) + (data[y * width + width - 1] > level);
  const small = averaged(image, Math.max(1, rounded(Math.min(width, height) / 100)));
  const window = Math.max(3, Math.floor(Math.min(small.width, small.height) / 1.5) | 1);
  const mean = filtered(small, (window - 1) / 2, true, (values) => values.reduce((sum, value) => sum + value, 0) / values.length);
  let squares = 0, cubes = 0;
  small.data.forEach((value, place) => { const apart = value - mean.data[place]; squares += apart ** 2; cubes += apart ** 3; });
  const count = small.data.length, skewness = cubes / count / ((squares / count) ** 1.5 + 1e-9);
  const balance = (bright, of) => 2 * bright / of - 1;
  return 1.5 * balance(border, 2 * (width + height)) + balance(whole, data.length) - 2 * Math.tanh(skewness) > 0;
}

// The channel in which ink and paper are farthest apart, as a multiple of their spread.
function clearest(channels, dark) {
  const distance = ({ data }) => {
    const level = otsu(data), isInk = (value) => (dark ? value < level : value > level);
    const ink = moments(data, isInk), paper = moments(data, (value) => !isInk(value));
    if (!(ink.count > 1e-5 * data.length && ink.count < 0.6 * data.length)) return 0;
    return Math.abs(ink.mean - paper.mean) / (ink.deviation + paper.deviation + 0.02);
  };
  let best = channels[0], most = 1.15 * distance(best);
  for (const channel of channels.slice(1)) {
    const found = distance(channel);
    if (found > most) { best = channel; most = found; }
  }
  return best;
}

function separability(values) {
  const level = otsu(values), above = moments(values, (value) => value > level), all = moments(values, () => true);
  if (!above.count || above.count === values.length || !all.deviation) return 0;
  const below = moments(values, (value) => value <= level), share = above.count / values.length;
  return share * (1 - share) * (above.mean - below.mean) ** 2 / all.deviation ** 2;
}

function paperOf(bright) {
  let paper, narrower = null, shown = 0;
  for (const share of [30, 18, 10, 5]) {
    const window = Math.max(15, Math.floor(Math.min(bright.width, bright.height) / share)), factor = Math.max(1, Math.floor(window / 15));
    const size = Math.max(3, rounded(window / factor) | 1), radius = (size - 1) / 2;
    const soft = smoothed(averaged(bright, factor), 0.7, true);
    const opened = filtered(filtered(soft, radius, false, (values) => Math.min(...values)), radius, false, (values) => Math.max(...values));
    paper = resized(smoothed(opened, size / 4, false), bright.width, bright.height);
    const ink = bright.data.map((value, place) => value - paper.data[place]);
    const level = Math.max(otsu(ink), 0.4 * percentile(ink, 99.5));
    const strokes = masked({ ...bright, data: ink }, (value) => value > level);
    const inked = strokes.data.reduce((sum, value) => sum + value, 0) / ink.length;
    if (narrower && inked < MORE_INK * shown) return narrower;
    narrower = window > 3.5 * strokeWidth(strokes) + 4 ? paper : null;
    shown = inked;
  }
  return paper;
}

function abovePaper(bright, dark) {
  const middle = percentile(bright.data, 50), flat = bright.data.map((value) => Math.max(0, value - middle));
  if (Math.min(bright.width, bright.height) < FEWEST_PIXELS || separability(bright.data) > CLEAR) return flat;
  const paper = paperOf(bright).data, spread = percentile(paper, 97) - percentile(paper, 3);
  if (spread <= UNEVEN * (percentile(bright.data, 99.8) - middle)) return flat;
  return bright.data.map((value, place) => Math.max(0, value - paper[place]) / (dark ? Math.max(1 - paper[place], 0.15) : 1));
}

// Whether most of a mask is solid; or, where there is little, in parts larger than noise.
function hangsTogether(mask) {
  const count = (data) => data.reduce((sum, value) => sum + value, 0), all = count(mask.data), size = mask.data.length;
  const grain = Math.min(LARGEST_GRAIN, Math.floor(size / 5000));
  if (!grain) return true;
  if (all > DENSE * size) {
    const thin = filtered(mask, 1, false, (values) => Math.min(...values));
    return count(filtered(thin, 1, false, (values) => Math.max(...values)).data) > 0.5 * all;
  }
  return connected(mask).parts.reduce((sum, part) => sum + (part.area >= grain ? part.area : 0), 0) > 0.5 * all;
}

// Otsu's, again above it while what is above is noise.
function threshold(image) {
  let level = otsu(image.data), inked = image.data.filter((value) => value > level);
  for (let round = 0; round < MOST_LEVELS && inked.length; round++) {
    if (hangsTogether(masked(image, (value) => value > level))) break;
    level = otsu(inked);
    inked = image.data.filter((value) => value > level);
  }
  return inked.length ? Math.max(level, 0.38 * percentile(inked, 75)) : level;
}

// How sure each pixel is ink, of channels red, green and blue: above 0.5 it is.
function findInk(colours) {
  const { width, height } = colours[0];
  const luma = { width, height, data: colours[0].data.map((red, place) => 0.299 * red + 0.587 * colours[1].data[place] + 0.114 * colours[2].data[place]) };
  const dark = inkIsDark(luma), chosen = clearest([luma, ...colours], dark);
  const ink = abovePaper({ width, height, data: chosen.data.map((value) => (dark ? 1 - value : value)) }, dark);
  const level = threshold({ width, height, data: ink });
  return { width, height, data: level < LEAST_CONTRAST / 2 ? new Float32Array(ink.length) : ink.map((value) => Math.min(1, value / (2 * level))) };
}

// ---------- one digit: pipeline/reading/pieces.py and reader.py

const TOO_WIDE = 1.6, PEN = 8, MOST_PARTS = 8, SPECK = 0.02, INSIDE = 0.1, BESIDE = 0.25;

const heightOf = (part) => part.bottom - part.top, widthOf = (part) => part.right - part.left;

function joined(one, other) {
  return {
    left: Math.min(one.left, other.left), top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right), bottom: Math.max(one.bottom, other.bottom),
    area: one.area + other.area, numbers: [...one.numbers, ...other.numbers],
  };
}

// The largest part of a picture, and what is near it.
function oneDigit(parts, width, height) {
  const atEdge = (part) => part.left === 0 || part.top === 0 || part.right === width || part.bottom === height;
  let digit = parts.reduce((best, part) => (part.area > best.area ? part : best));
  const nearest = 0.3 * Math.max(heightOf(digit), widthOf(digit)), largest = digit, centred = !atEdge(digit);
  const likeALine = (part) => Math.max(heightOf(part), widthOf(part)) > 4 * Math.min(heightOf(part), widthOf(part)) || part.area < 0.1 * largest.area;
  const rest = parts.filter((part) => part !== digit && part.area >= 0.012 * largest.area && !(centred && atEdge(part) && likeALine(part)));
  const gap = (part) => Math.max(
    Math.max(part.left, digit.left) - Math.min(part.right, digit.right), Math.max(part.top, digit.top) - Math.min(part.bottom, digit.bottom));
  for (let near; (near = rest.findIndex((part) => gap(part) <= nearest)) >= 0;) digit = joined(digit, rest.splice(near, 1)[0]);
  return digit;
}

function inkOf(piece, ink, labels) {
  const result = grey(widthOf(piece), heightOf(piece)), numbers = new Set(piece.numbers);
  for (let y = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++) {
      const place = (piece.top + y) * ink.width + piece.left + x;
      if (numbers.has(labels[place])) result.data[y * result.width + x] = Math.max(ink.data[place], 0.51);
    }
  }
  return result;
}

// Why a piece of ink can be no digit; empty if it can.
function flawOf(ink) {
  const digit = workingSize(ink), { labels, parts } = connected(digit), side = Math.max(digit.width, digit.height);
  const area = parts.reduce((sum, part) => sum + part.area, 0);
  if (parts.filter((part) => part.area > SPECK * area).length > MOST_PARTS) return "too many parts for a digit";
  const [, deepest] = range(squaredDistances(padded(digit, 1)));
  if (2 * Math.sqrt(deepest) > PEN * side / BOX) return "not written with a pen";
  const main = parts.reduce((best, part) => (part.area > best.area ? part : best)).numbers[0];
  // What is not reached from outside, by steps along the axes, is inside.
  const wide = padded(masked(digit, (_, place) => labels[place] === main), 1), seen = new Uint8Array(wide.data.length), waiting = [0];
  seen[0] = 1;
  while (waiting.length) {
    const place = waiting.pop(), x = place % wide.width;
    for (const [other, inside] of [[place - 1, x > 0], [place + 1, x < wide.width - 1], [place - wide.width, true], [place + wide.width, true]]) {
      if (inside && other >= 0 && other < seen.length && !seen[other] && !wide.data[other]) { seen[other] = 1; waiting.push(other); }
    }
  }
  let within = 0;
  digit.data.forEach((value, place) => {
    const x = place % digit.width, y = (place - x) / digit.width;
    if (value && labels[place] !== main && !seen[(y + 1) * wide.width + x + 1]) within++;
  });
  return within > INSIDE * area ? "a ring with something inside" : "";
}

// ---------- the network

function floats(text) {
  return new Float32Array(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);
}

const sigmoid = (value) => 0.5 + 0.5 * Math.tanh(0.5 * value);

function answer(network, image) {
  let value = image;
  const seen = [];
  for (const { kernel, bias, activation } of network.layers) {
    const sums = Float64Array.from(bias);
    value.forEach((input, row) => {
      if (input) for (let unit = 0; unit < sums.length; unit++) sums[unit] += input * kernel[row * sums.length + unit];
    });
    value = activation === "softmax" ? sums : sums.map((sum) => (activation === "relu" ? Math.max(sum, 0) : sum * sigmoid(sum)));
    seen.push(...value);
  }
  const logits = value.map((logit) => logit / network.temperature), most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most)), sum = powers.reduce((one, other) => one + other, 0);
  const likeness = seen.reduce((total, one, place) => total + one * network.digitTest.kernel[place], network.digitTest.bias[0]);
  return { probabilities: powers.map((power) => power / sum), likeness: sigmoid(likeness) };
}

// What `python -m pipeline read --one` says of a picture, given as its channels red, green and blue.
function read(network, colours) {
  const ink = findInk(colours), { labels, parts } = connected(masked(ink, (value) => value > 0.5));
  if (!parts.length) return { verdict: "not a digit", reason: "nothing is written" };
  const piece = oneDigit(parts, ink.width, ink.height), alone = inkOf(piece, ink, labels);
  const images = mnistImages(alone), answers = images.map((image) => answer(network, image));
  const logarithms = answers[0].probabilities.map((_, place) => answers.reduce((sum, one) => sum + Math.log(Math.max(one.probabilities[place], 1e-37)), 0) / answers.length);
  const most = Math.max(...logarithms), powers = logarithms.map((one) => Math.exp(one - most)), sum = powers.reduce((one, other) => one + other, 0);
  const probabilities = Array.from(powers, (power) => power / sum), likeness = answers.reduce((total, one) => total + one.likeness, 0) / answers.length;
  const best = probabilities.indexOf(Math.max(...probabilities));
  const flaw = widthOf(piece) > TOO_WIDE * heightOf(piece) ? "too wide for one digit" : flawOf(alone);
  const found = { image: images[0], probabilities, best, confidence: probabilities[best] };
  const inside = (part) => part.left > 0 && part.top > 0 && part.right < ink.width && part.bottom < ink.height;
  const beside = parts.some((part) => !piece.numbers.includes(part.numbers[0]) && part.area > BESIDE * piece.area && inside(part));
  if (flaw || likeness < network.unlike) return { ...found, verdict: "not a digit", reason: flaw || "unlike a digit" };
  if (beside) return { ...found, verdict: "ask a person", reason: "something else is written beside it" };
  if (likeness < network.doubtful) return { ...found, verdict: "ask a person", reason: "perhaps no digit" };
  if (network.threshold === null || found.confidence < network.threshold) return { ...found, verdict: "ask a person", reason: "not sure enough" };
  return { ...found, verdict: "decided", reason: "" };
}

// ---------- drawing: strokes become a picture without the browser's canvas, which some browsers falsify when it is read

const SHEET = 280, WIDTH_OF_PEN = 20;

function sheet() {
  return { width: SHEET, height: SHEET, data: new Float32Array(SHEET * SHEET).fill(1) };
}

// Draw a line of the pen: each pixel is as dark as the pen covers it.
function stroke(paper, [fromX, fromY], [toX, toY]) {
  const radius = WIDTH_OF_PEN / 2, reach = radius + 1;
  const alongX = toX - fromX, alongY = toY - fromY, square = alongX ** 2 + alongY ** 2;
  for (let y = Math.max(0, Math.floor(Math.min(fromY, toY) - reach)); y < Math.min(paper.height, Math.max(fromY, toY) + reach); y++) {
    for (let x = Math.max(0, Math.floor(Math.min(fromX, toX) - reach)); x < Math.min(paper.width, Math.max(fromX, toX) + reach); x++) {
      const share = square ? Math.min(1, Math.max(0, ((x + 0.5 - fromX) * alongX + (y + 0.5 - fromY) * alongY) / square)) : 0;
      const distance = Math.hypot(x + 0.5 - fromX - share * alongX, y + 0.5 - fromY - share * alongY);
      const cover = Math.min(1, Math.max(0, radius + 0.5 - distance)), place = y * paper.width + x;
      paper.data[place] = Math.min(paper.data[place], 1 - cover);
    }
  }
}

// The sheet as a picture of bytes, such as a file holds.
function asPicture(paper) {
  return { ...paper, data: paper.data.map((value) => Math.round(value * 255) / 255) };
}

// A picture's channels from its bytes red, green, blue and alpha; what is transparent is white under dark ink, else black.
function channelsOf(width, height, bytes) {
  const channels = [grey(width, height), grey(width, height), grey(width, height)];
  let visible = 0, sum = 0;
  for (let place = 0; place < bytes.length; place += 4) {
    if (bytes[place + 3] > 127) { visible++; sum += bytes[place] + bytes[place + 1] + bytes[place + 2]; }
  }
  const paper = visible > 0.9 * width * height || (visible && sum / (3 * visible) < 127.5) ? 1 : 0;
  for (let place = 0; place < width * height; place++) {
    const alpha = bytes[4 * place + 3] / 255;
    channels.forEach((channel, colour) => { channel.data[place] = bytes[4 * place + colour] / 255 * alpha + paper * (1 - alpha); });
  }
  return channels;
}
