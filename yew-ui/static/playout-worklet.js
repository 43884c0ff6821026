// Plays what the engine's worker decodes. The sound is made in WebAssembly (videocall-playout);
// this moves chunks out of the shared memory, whose layout is documented there, and tells back how
// each voice is. Nothing is allocated while playing.
const HEADER = 16;
const SLOTS = 16;
const CONTROL = 16;
const CHUNKS = 32;
const CHUNK_HEAD = 4;
const CHUNK_SAMPLES = 960;
const CHUNK = CHUNK_HEAD + CHUNK_SAMPLES;
const SLOT = CONTROL + CHUNKS * CHUNK;
const [GENERATION, WRITTEN, READ, HEARD_LOW, HEARD_HIGH, BUFFERED_MS, TARGET_MS, CONCEALED, LEVEL] =
  [0, 1, 2, 3, 4, 5, 6, 7, 8];
const TWO_32 = 4294967296;

class Playout extends AudioWorkletProcessor {
  constructor({ processorOptions: { module, memory } }) {
    super();
    this.words = new Int32Array(memory);
    this.samples = new Float32Array(memory);
    this.voice = new WebAssembly.Instance(module, {}).exports;
    this.generations = new Int32Array(SLOTS);
    this.view(this.voice.process(128), this.voice.input());
  }

  // Growing memory detaches earlier views of it.
  view(output, input) {
    this.buffer = this.voice.memory.buffer;
    this.input = new Float32Array(this.buffer, input, CHUNK_SAMPLES);
    this.output = new Float32Array(this.buffer, output, 128);
    this.outputAt = output;
  }

  takeChunks(slot, base, now) {
    const { words, samples, voice } = this;
    const written = Atomics.load(words, base + WRITTEN);
    let read = Atomics.load(words, base + READ);
    const generation = Atomics.load(words, base + GENERATION);
    if (generation !== this.generations[slot]) {
      this.generations[slot] = generation;
      voice.reset(slot);
    }
    while (read !== written) {
      const chunk = base + CONTROL + ((read >>> 0) % CHUNKS) * CHUNK;
      const count = Math.min(words[chunk] >>> 0, CHUNK_SAMPLES);
      const capture = (words[chunk + 1] >>> 0) + (words[chunk + 2] >>> 0) * TWO_32;
      const start = chunk + CHUNK_HEAD;
      if (this.input.buffer !== voice.memory.buffer) this.view(this.outputAt, voice.input());
      for (let i = 0; i < count; i++) this.input[i] = samples[start + i];
      voice.push(slot, count, capture, now);
      read = (read + 1) | 0;
      Atomics.store(words, base + READ, read);
    }
  }

  tell(slot, base) {
    const { words, voice } = this;
    const heard = voice.heard_us(slot);
    Atomics.store(words, base + HEARD_LOW, heard < 0 ? 0 : heard % TWO_32 | 0);
    Atomics.store(words, base + HEARD_HIGH, heard < 0 ? -1 : (heard / TWO_32) | 0);
    Atomics.store(words, base + BUFFERED_MS, voice.buffered_ms(slot) | 0);
    Atomics.store(words, base + TARGET_MS, voice.target_ms(slot) | 0);
    Atomics.store(words, base + CONCEALED, voice.concealed(slot) | 0);
    Atomics.store(words, base + LEVEL, (voice.level(slot) * 1e6) | 0);
  }

  process(_inputs, [channels]) {
    if (this.failed) return true;
    try {
      const now = (currentFrame / sampleRate) * 1e6;
      for (let slot = 0; slot < SLOTS; slot++) this.takeChunks(slot, HEADER + slot * SLOT, now);
      const length = channels[0].length;
      const output = this.voice.process(length);
      if (output !== this.outputAt || this.output.length !== length || this.buffer !== this.voice.memory.buffer) {
        this.view(output, this.voice.input());
        this.output = new Float32Array(this.buffer, output, length);
      }
      for (const channel of channels) channel.set(this.output);
      for (let slot = 0; slot < SLOTS; slot++) {
        if (this.generations[slot]) this.tell(slot, HEADER + slot * SLOT);
      }
    } catch (error) {
      // Silence, and one word of it: an exception here would end the processor for good.
      this.failed = true;
      this.port.postMessage(String(error));
    }
    return true;
  }
}

registerProcessor('playout', Playout);
