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
  function drawn(video) {
    if (!video.videoWidth || video.readyState < 2) return false;
    clockContext.drawImage(video, 0, 0, 680, 360);
    return true;
  }
  function clock(video) {
    if (!drawn(video)) return null;
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

  // Whether the picture that `clock` read is a flash: the stripe at the bottom is white then.
  function isFlash() {
    const { data } = clockContext.getImageData(0, 340, 680, 16);
    let sum = 0;
    for (let at = 1; at < data.length; at += 4) sum += data[at];
    return sum / (data.length / 4) > 125;
  }

  // Where in the samples the tone's frequency doubles, as indices (videocall-codec, find_marks).
  const WINDOW_MS = 5;
  function doublings(samples, rate, hertz) {
    const size = Math.round((rate * WINDOW_MS) / 1000);
    const strength = (from, f) => {
      const factor = 2 * Math.cos((2 * Math.PI * f) / rate);
      let [one, two] = [0, 0];
      for (let at = from; at < from + size; at++) [two, one] = [one, samples[at] + factor * one - two];
      return (Math.sqrt(Math.max(0, one * one + two * two - factor * one * two)) * 2) / size;
    };
    const found = [];
    let doubled = true;
    for (let at = 0; at + size <= samples.length; at += Math.round(size / 10)) {
      const [low, high] = [strength(at, hertz), strength(at, 2 * hertz)];
      if (doubled && low > high && low > 0.01) doubled = false;
      else if (!doubled && high > low && high > 0.01) {
        doubled = true;
        found.push(at + size / 2);
      }
    }
    return found;
  }

  const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];

  window.probe = {
    // How much later than their sound the flashes of the test pattern are seen, one figure for each
    // second that passes, in milliseconds. A flash is where its second begins: a frame tells by its
    // clock how far it is behind that. Sound is what goes to the speakers, at the time at which they
    // play it. The resolution is that of frames, which are shown at a refresh of the screen, and of
    // the window in which the tone's frequency is looked for.
    sync: (selector, hertz, milliseconds) =>
      new Promise((done) => {
        const video = document.querySelector(selector);
        const flashes = [];
        const sounds = [];
        const refreshes = [];
        const analysers = taps.map((tap) => {
          const analyser = new AnalyserNode(tap.context, { fftSize: 32768 });
          connect.call(tap, analyser);
          return analyser;
        });
        const listen = setInterval(() => {
          for (const analyser of analysers) {
            const { context } = analyser;
            const samples = new Float32Array(analyser.fftSize);
            const end = context.currentTime;
            analyser.getFloatTimeDomainData(samples);
            // Sound went on in between.
            if (context.currentTime !== end) continue;
            const { contextTime, performanceTime } = context.getOutputTimestamp();
            for (const at of doublings(samples, context.sampleRate, hertz)) {
              const time = end - (samples.length - at) / context.sampleRate;
              sounds.push(performanceTime + (time - contextTime) * 1000);
            }
          }
        }, 150);
        let refreshed;
        const refresh = (now) => {
          if (refreshed) refreshes.push(now - refreshed);
          refreshed = now;
          if (listening) requestAnimationFrame(refresh);
        };
        let listening = true;
        let flashing = true;
        const step = (now, meta) => {
          if (!listening) return;
          const time = clock(video);
          const flash = time !== null && isFlash();
          if (flash && !flashing && time % 1000 < 100) flashes.push(meta.expectedDisplayTime - (time % 1000));
          if (time !== null) flashing = flash;
          video.requestVideoFrameCallback(step);
        };
        requestAnimationFrame(refresh);
        video.requestVideoFrameCallback(step);
        setTimeout(() => {
          listening = false;
          clearInterval(listen);
          analysers.forEach((analyser, n) => taps[n].disconnect(analyser));
          const offsets = flashes.flatMap((flash) => {
            const near = sounds.filter((sound) => Math.abs(sound - flash) < 500);
            return near.length ? [flash - middle(near)] : [];
          });
          done({ offsets, resolution: (middle(refreshes) ?? 0) + WINDOW_MS, flashes: flashes.length, sounds: sounds.length });
        }, milliseconds);
      }),
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
