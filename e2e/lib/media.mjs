// Makes the fake camera and microphone files of a person, and says how to recognise them.
//
// Picture: the person's colour, a white box that moves, and along the top edge the frame number as
// 16 black or white cells, so that a test can tell who is seen, that the picture moves, and when a
// frame was captured. Sound: bursts of the person's tone (noise suppression removes a tone that
// never pauses). With `noise` the picture has a grain, which costs an encoder all bits that it may use.
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export const WIDTH = 640;
export const HEIGHT = 360;
// A camera's, and one of three or more: all of their browsers share the processors of one machine.
export const FPS = 30;
export const CROWDED_FPS = 15;
export const CELLS = 16;
const SECONDS = 8;

// Colours far apart in hue, tones that are no multiples of each other.
export const PEOPLE = {
  ann: { name: 'Ann', rgb: [200, 40, 40], tone: 500 },
  ben: { name: 'Ben', rgb: [40, 170, 60], tone: 790 },
  cho: { name: 'Cho', rgb: [50, 70, 210], tone: 1130 },
};

export function mediaFor(person, fps, directory) {
  mkdirSync(directory, { recursive: true });
  const video = join(directory, `${person.name}-${fps}.y4m`);
  const audio = join(directory, `${person.name}.wav`);
  writeVideo(video, person.rgb, fps, person.noise);
  writeTone(audio, person.tone);
  return { video, audio };
}

// BT.601 limited range, as Y4M cameras are read.
function yuv([r, g, b]) {
  return [
    16 + 0.257 * r + 0.504 * g + 0.098 * b,
    128 - 0.148 * r - 0.291 * g + 0.439 * b,
    128 + 0.439 * r - 0.368 * g - 0.071 * b,
  ].map(Math.round);
}

function writeVideo(path, rgb, fps, noise = 0) {
  const file = openSync(path, 'w');
  writeSync(file, `YUV4MPEG2 W${WIDTH} H${HEIGHT} F${fps}:1 Ip A1:1 C420jpeg\n`);
  const [y, u, v] = yuv(rgb);
  const chroma = (WIDTH / 2) * (HEIGHT / 2);
  const cell = WIDTH / CELLS;
  // Another part of it in each frame: a camera in the dark.
  const grain = noise && Buffer.alloc(WIDTH * HEIGHT + WIDTH ** 2).map(() => y + (Math.random() - 0.5) * 2 * noise);
  for (let n = 0; n < SECONDS * fps; n++) {
    const luma = grain ? Buffer.from(grain.subarray((n * 7919) % WIDTH ** 2)).subarray(0, WIDTH * HEIGHT) : Buffer.alloc(WIDTH * HEIGHT, y);
    const us = Buffer.alloc(chroma, u);
    const vs = Buffer.alloc(chroma, v);
    const fill = (x0, y0, w, h, value) => {
      for (let row = y0; row < y0 + h; row++) luma.fill(value, row * WIDTH + x0, row * WIDTH + x0 + w);
      for (let row = y0 >> 1; row < (y0 + h) >> 1; row++) {
        us.fill(128, (row * WIDTH) / 2 + (x0 >> 1), (row * WIDTH) / 2 + ((x0 + w) >> 1));
        vs.fill(128, (row * WIDTH) / 2 + (x0 >> 1), (row * WIDTH) / 2 + ((x0 + w) >> 1));
      }
    };
    for (let bit = 0; bit < CELLS; bit++) fill(bit * cell, 0, cell, 40, (n >> bit) & 1 ? 235 : 16);
    fill((n * (240 / fps)) % (WIDTH - 80), 200, 80, 80, 235);
    writeSync(file, 'FRAME\n');
    for (const plane of [luma, us, vs]) writeSync(file, plane);
  }
  closeSync(file);
}

function writeTone(path, hertz) {
  const rate = 48000;
  const samples = rate * 6;
  const body = Buffer.alloc(44 + samples * 2);
  body.write('RIFF', 0);
  body.writeUInt32LE(36 + samples * 2, 4);
  body.write('WAVEfmt ', 8);
  body.writeUInt32LE(16, 16);
  body.writeUInt16LE(1, 20);
  body.writeUInt16LE(1, 22);
  body.writeUInt32LE(rate, 24);
  body.writeUInt32LE(rate * 2, 28);
  body.writeUInt16LE(2, 32);
  body.writeUInt16LE(16, 34);
  body.write('data', 36);
  body.writeUInt32LE(samples * 2, 40);
  for (let n = 0; n < samples; n++) {
    const inBurst = n % 36000 < 24000;
    const value = inBurst ? 0.4 * Math.sin((2 * Math.PI * hertz * n) / rate) : 0;
    body.writeInt16LE(Math.round(value * 32767), 44 + n * 2);
  }
  writeFileSync(path, body);
}
