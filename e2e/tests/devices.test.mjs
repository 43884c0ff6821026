// What people choose in a call: the tab that they share with its sound, another camera, whom they
// look at.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { leaveAll, meet } from '../lib/meet.mjs';
import { near } from '../lib/people.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben, cho } = PEOPLE;

describe('a tab that is shared', () => {
  const TONE = 1700;
  const rgb = [230, 150, 20];
  let server;
  let site;
  let people = [];
  before(async () => {
    server = await Server.start();
    site = createServer((_, answer) => {
      answer.setHeader('content-type', 'text/html');
      answer.end(`<title>Music</title><body style="background:rgb(${rgb})"><script>
        const context = new AudioContext();
        const tone = new OscillatorNode(context, { frequency: ${TONE} });
        tone.connect(context.destination);
        tone.start();
      </script>`);
    });
    await new Promise((done) => site.listen(0, '127.0.0.1', done));
  });
  after(async () => {
    await leaveAll(people);
    site?.close();
    await server.stop();
  });
  const strength = async (person) => (await person.page.evaluate((tone) => window.probe.listen([tone]), TONE)).best[TONE];

  test('is seen and heard by the other until it is taken back', async (t) => {
    people = await meet(server, 'music', [ann]);
    people.push(...(await meet(server, 'music', [ben], { sharing: 'Music' })));
    const [a, b] = people;
    await a.sees(b);
    const music = await b.context.newPage();
    await music.goto(`http://127.0.0.1:${site.address().port}/`);
    await b.page.bringToFront();
    // The bursts of Ben's voice spread a little.
    const before = await strength(a);
    await b.page.getByTestId('screen-toggle').click();
    await a.until('Ann sees the tab', async () => {
      const picture = await a.page.evaluate((s) => window.probe.read(s), a.tile(b, 'screen'));
      return picture && near(picture.rgb, rgb);
    });
    const loud = await a.until('Ann hears the tab', async () => {
      const heard = await strength(a);
      return heard > before + 20 && heard > -45 && heard;
    });
    t.diagnostic(`${loud.toFixed(0)} dB, before it ${before.toFixed(0)} dB`);
    // And Ben's voice with it.
    await a.until('Ann hears Ben as well', async () => (await a.page.evaluate((tone) => window.probe.listen([tone]), ben.tone)).best[ben.tone] > -45);
    await b.page.getByTestId('screen-toggle').click();
    await a.page.locator(a.tile(b, 'screen')).waitFor({ state: 'detached' });
    await a.until('it is silent', async () => (await strength(a)) < loud - 20);
  });
});

describe('two cameras', () => {
  let server;
  let people = [];
  before(async () => (server = await Server.start()));
  after(async () => {
    await leaveAll(people);
    await server.stop();
  });
  test('are changed in a call, and the other sees it', async () => {
    people = await meet(server, 'cameras', [ann]);
    people.push(...(await meet(server, 'cameras', [ben], { files: false })));
    const [a, b] = people;
    const moves = () =>
      a.until('Ann sees Ben move', async () => {
        const frames = await a.page.evaluate((s) => window.probe.watch(s, 1000), a.tile(b));
        return new Set(frames.map(({ sum }) => sum)).size >= 5;
      });
    await a.page.locator(a.tile(b)).waitFor();
    await moves();
    await b.page.getByTestId('settings-toggle').click();
    const choice = b.page.getByTestId('settings-panel').getByLabel('Camera');
    const cameras = await choice.locator('option').allTextContents();
    assert.deepEqual(cameras, ['fake_device_0', 'fake_device_1', 'fake_device_2']);
    // The one between them is a depth camera, of whose pictures Chromium makes no video.
    for (const name of ['fake_device_2', 'fake_device_0']) {
      await choice.selectOption({ label: name });
      await b.until(`Ben's camera is ${name}`, () => b.page.evaluate(([s, name]) => document.querySelector(s).srcObject.getVideoTracks()[0]?.label === name, [b.tile(b), name]));
      await moves();
    }
  });
});

describe('three people', () => {
  let server;
  let people = [];
  before(async () => (server = await Server.start()));
  after(async () => {
    await leaveAll(people);
    await server.stop();
  });
  const figure = (other) => `[data-testid="tile"][data-name="${other.who.name}"]`;

  test('pin whom they want to see large, and get the large picture', async () => {
    people = await meet(server, 'pinned', [ann, ben, cho]);
    const [a, b, c] = people;
    await a.sees(b);
    await a.sees(c);
    const width = async (other) => (await a.page.locator(figure(other)).boundingBox()).width;
    const height = async (other) => (await a.page.evaluate((s) => window.probe.read(s), a.tile(other)))?.height;
    assert.equal(await width(b), await width(c), 'a grid');
    for (const [large, small] of [[c, b], [b, c]]) {
      const pin = a.page.locator(`${figure(large)} .tile-pin`);
      await pin.click();
      assert.equal(await pin.getAttribute('aria-pressed'), 'true');
      assert.equal(await a.page.locator(`${figure(small)} .tile-pin`).getAttribute('aria-pressed'), 'false');
      await a.until('the pinned one is larger', async () => (await width(large)) > 2 * (await width(small)));
      // After congestion, as of three browsers that start at once, the relay may wait for a minute.
      await a.until('in more pixels, too', async () => (await height(large)) > (await height(small)), 90);
      await a.sees(large);
      await a.sees(small);
    }
    await a.page.locator(`${figure(b)} .tile-pin`).click();
    await a.until('a grid again', async () => (await width(b)) === (await width(c)));
  });
});
