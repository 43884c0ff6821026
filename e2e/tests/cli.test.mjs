// videocall-cli and a browser in one meeting.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { Person } from '../lib/people.mjs';
import { cli, Server } from '../lib/processes.mjs';

const { ann } = PEOPLE;
const TONE = 1400;

describe('a streamer without a browser', () => {
  let server;
  let person;
  let streamer;
  before(async () => (server = await Server.start()));
  after(async () => {
    await streamer?.stop();
    await person?.leave();
    await server.stop();
  });
  const tile = '[data-testid="tile"][data-name="Pi"][data-kind="video"] video';
  const clocks = () => person.page.evaluate(([s]) => window.probe.clocks(s, 2000), [tile]);

  for (const transport of ['webtransport', 'websocket']) {
    test(`is seen and heard in Chromium over ${transport}`, async (t) => {
      person ??= await Person.start(ann);
      await person.join(server, transport, { query: `?transport=${transport}` });
      streamer = cli('stream', server, transport, 'Pi', '--transport', transport, '--resolution', '640x360', '--fps', '30', '--tone', `${TONE}`);
      await streamer.waitForOutput(/"event":"joined"/);
      await person.page.locator(tile).waitFor();
      let read;
      await person.until('the clock of the pattern is read, and few pictures are left out', async () => {
        const frames = await clocks();
        read = frames.filter((frame) => frame.clock);
        const steps = read.slice(1).map((frame, n) => frame.clock - read[n].clock);
        // A browser may say of the first picture twice that it is shown.
        assert.ok(steps.every((step) => step >= 0), `time goes on: ${steps}`);
        const smooth = steps.filter((step) => step > 0 && step <= 34).length >= steps.length * 0.8;
        return frames.length > 30 && read.length >= frames.length * 0.9 && smooth;
      }, 90);
      const delays = read.map((frame) => frame.at - frame.clock).sort((a, b) => a - b);
      t.diagnostic(`made to shown: ${delays[delays.length >> 1].toFixed(0)} ms in the middle of ${delays.length} frames`);
      await person.until('its tone is heard', async () => {
        const heard = await person.page.evaluate((tone) => window.probe.listen([tone, 900]), TONE);
        return heard.best[TONE] > -45 && heard.best[900] < heard.best[TONE] - 25;
      });
      let resolution;
      const offsets = [];
      await person.until(
        'flashes are seen with their sound',
        async () => {
          const sync = await person.page.evaluate(([s, tone]) => window.probe.sync(s, tone, 6000), [tile, TONE]);
          resolution = sync.resolution;
          return offsets.push(...sync.offsets) >= 5;
        },
        90,
      );
      const offset = offsets.sort((a, b) => a - b)[offsets.length >> 1];
      t.diagnostic(`seen ${offset.toFixed(0)} ms later than heard, in the middle of ${offsets.map((one) => one.toFixed(0))}; told apart: ${resolution.toFixed(0)} ms`);
      assert.ok(Math.abs(offset) < 40 + resolution, `${offset} ms, of ${offsets}`);
      await streamer.stop();
      await person.page.locator(tile).waitFor({ state: 'detached' });
    });
  }

  test('records what a browser sends, and the file plays', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'videocall-record-'));
    try {
      await person.join(server, 'tape');
      const recorder = cli('record', server, 'tape', 'Tape', '--directory', folder);
      await recorder.waitForOutput(/"event":"recording"/);
      await person.until('the recording grows', async () => readdirSync(folder).some((file) => statSync(join(folder, file)).size > 80_000));
      const { code } = await recorder.stop();
      assert.equal(code, 0, recorder.output);
      const [file] = readdirSync(folder);
      const probe = ['-v', 'error', '-count_frames', '-show_entries', 'stream=codec_name,nb_read_frames', '-of', 'json', join(folder, file)];
      const { streams } = JSON.parse(execFileSync('ffprobe', probe, { encoding: 'utf8' }));
      const frames = (codec) => Number(streams.find((stream) => stream.codec_name === codec)?.nb_read_frames ?? 0);
      assert.ok(frames('vp9') > 30, JSON.stringify(streams));
      assert.ok(frames('opus') > 50, JSON.stringify(streams));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
