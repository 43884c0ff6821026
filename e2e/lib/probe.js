// Runs in the page before its own code. Listens to what goes to the speakers, and reads pictures.
(() => {
  const taps = [];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      const analyser = new AnalyserNode(this.context, { fftSize: 8192, smoothingTimeConstant: 0 });
      connect.call(this, analyser);
      taps.push(analyser);
    }
    return connect.call(this, target, ...rest);
  };

  const canvas = new OffscreenCanvas(320, 180);
  const context = canvas.getContext('2d', { willReadFrequently: true });

  // Colour in the middle of the left edge (the box passes by), and the frame number in the top row.
  function read(video) {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width || video.readyState < 2) return null;
    context.drawImage(video, 0, 0, 320, 180);
    const { data } = context.getImageData(0, 0, 320, 180);
    const at = (x, y) => [...data.slice((y * 320 + x) * 4, (y * 320 + x) * 4 + 3)];
    let number = 0;
    for (let bit = 0; bit < 16; bit++) if (at(bit * 20 + 10, 9)[1] > 125) number |= 1 << bit;
    const patches = [];
    for (const [x, y] of [[20, 60], [160, 60], [300, 60], [20, 165], [160, 165], [300, 165]]) patches.push(at(x, y));
    const average = [0, 1, 2].map((c) => Math.round(patches.reduce((sum, p) => sum + p[c], 0) / patches.length));
    const sum = data.reduce((a, b, i) => (i % 97 === 0 ? (a * 31 + b) % 1_000_003 : a), 7);
    return { width, height, number, rgb: average, sum };
  }

  // The clock of videocall-cli's test pattern, in milliseconds since the Unix epoch: two rows of 32
  // blocks, 48 bits of time and 16 of CRC-16/CCITT-FALSE (videocall-codec, pattern::read_clock).
  const clockCanvas = new OffscreenCanvas(680, 360);
  const clockContext = clockCanvas.getContext('2d', { willReadFrequently: true });
  function clock(video) {
    if (!video.videoWidth || video.readyState < 2) return null;
    clockContext.drawImage(video, 0, 0, 680, 360);
    const { data } = clockContext.getImageData(0, 0, 680, 90);
    const bits = [];
    for (let row = 0; row < 2; row++) {
      for (let column = 0; column < 32; column++) {
        let sum = 0;
        for (let dy = -3; dy <= 3; dy++) for (let dx = -3; dx <= 3; dx++) sum += data[((30 + row * 30 + dy) * 680 + 30 + column * 20 + dx) * 4 + 1];
        bits.push(sum / 49 > 125 ? 1 : 0);
      }
    }
    const bytes = Array.from({ length: 8 }, (_, n) => bits.slice(n * 8, n * 8 + 8).reduce((byte, bit) => byte * 2 + bit, 0));
    let crc = 0xffff;
    for (const byte of bytes.slice(0, 6)) {
      crc ^= byte << 8;
      for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
    }
    const time = bytes.slice(0, 6).reduce((sum, byte) => sum * 256 + byte, 0);
    return crc === bytes[6] * 256 + bytes[7] && time ? time : null;
  }

  window.probe = {
    // Clocks of the frames that the element presents during a time, and when they are shown.
    clocks: (selector, milliseconds) =>
      new Promise((done) => {
        const video = document.querySelector(selector);
        const frames = [];
        const end = performance.now() + milliseconds;
        const timer = setTimeout(() => done(frames), milliseconds + 500);
        const step = (now, meta) => {
          frames.push({ at: performance.timeOrigin + meta.expectedDisplayTime, clock: clock(video) });
          if (performance.now() < end) return video.requestVideoFrameCallback(step);
          clearTimeout(timer);
          done(frames);
        };
        video.requestVideoFrameCallback(step);
      }),
    read: (selector) => {
      const video = document.querySelector(selector);
      return video ? read(video) : null;
    },
    // Frames that the element presents during a time: how many, when, and their numbers.
    watch: (selector, milliseconds) =>
      new Promise((done) => {
        const video = document.querySelector(selector);
        const frames = [];
        const end = performance.now() + milliseconds;
        const finish = () => done(frames);
        const timer = setTimeout(finish, milliseconds + 200);
        const step = (now, meta) => {
          const picture = read(video);
          frames.push({ at: performance.timeOrigin + meta.expectedDisplayTime, number: picture?.number ?? -1, sum: picture?.sum });
          if (performance.now() < end) video.requestVideoFrameCallback(step);
          else {
            clearTimeout(timer);
            finish();
          }
        };
        video.requestVideoFrameCallback(step);
      }),
    // Strength in dB at each frequency, the loudest over a time that covers a burst, and of the
    // loudest other frequency away from all of them.
    listen: async (hertz, milliseconds = 1500) => {
      const best = Object.fromEntries(hertz.map((f) => [f, -200]));
      let peak = { hertz: 0, db: -200 };
      const end = performance.now() + milliseconds;
      while (performance.now() < end) {
        for (const tap of taps) {
          const bins = new Float32Array(tap.frequencyBinCount);
          tap.getFloatFrequencyData(bins);
          const width = tap.context.sampleRate / tap.fftSize;
          for (const f of hertz) {
            const middle = Math.round(f / width);
            for (let i = middle - 2; i <= middle + 2; i++) best[f] = Math.max(best[f], bins[i]);
          }
          for (let i = Math.ceil(100 / width); i < bins.length; i++) {
            if (bins[i] > peak.db) peak = { hertz: i * width, db: bins[i] };
          }
        }
        await new Promise((done) => setTimeout(done, 50));
      }
      return { best, peak, taps: taps.length };
    },
  };
})();
