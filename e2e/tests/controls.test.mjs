// What people do in a call: camera, microphone, screen, coming late, leaving.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CROWDED_FPS, PEOPLE } from '../lib/media.mjs';
import { leaveAll, meet } from '../lib/meet.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben, cho } = PEOPLE;

describe('in a call', () => {
  let server;
  let people = [];
  before(async () => {
    server = await Server.start();
    people = await meet(server, 'controls', [ann, ben], { fps: CROWDED_FPS });
  });
  after(async () => {
    await leaveAll(people);
    await server.stop();
  });

  test('the camera goes off and on again', async () => {
    const [a, b] = people;
    await a.sees(b);
    await b.page.getByTestId('camera-toggle').click();
    await a.page.locator(a.tile(b)).waitFor({ state: 'hidden' });
    await b.page.getByTestId('camera-toggle').click();
    await a.page.locator(a.tile(b)).waitFor({ state: 'visible' });
    await a.sees(b);
  });

  test('a muted microphone is silent, by button and by key', async () => {
    const [a, b] = people;
    await a.hears([b], people);
    await b.page.getByTestId('mic-toggle').click();
    await a.hears([], people);
    await b.page.keyboard.press('m');
    await a.hears([b], people);
  });

  test('sound belongs to its picture after a pause, too', async () => {
    const [a, b] = people;
    await b.page.getByTestId('mic-toggle').click();
    // Pictures of several seconds, for which no sound is encoded.
    for (let n = 0; n < 4; n++) await a.seesMoving(b);
    await b.page.getByTestId('mic-toggle').click();
    await a.hears([b], people);
    await a.until('the two belong together', async () => {
      const { receive } = await a.statistics();
      const offset = receive.find(({ kind }) => kind === 'video')?.avOffsetMs;
      return typeof offset === 'number' && Math.abs(offset) < 1000;
    });
  });

  test('a screen is shared and taken back', async () => {
    const [a, b] = people;
    await b.page.getByTestId('screen-toggle').click();
    const picture = await a.until('Ann sees the screen', () => a.page.evaluate((s) => window.probe.read(s), a.tile(b, 'screen')));
    assert.ok(picture.width >= 320, JSON.stringify(picture));
    await a.sees(b);
    await a.screenshot('screen-share');
    await b.page.getByTestId('screen-toggle').click();
    await a.page.locator(a.tile(b, 'screen')).waitFor({ state: 'detached' });
  });

  test('who comes late sees and hears all, at once', async (t) => {
    const [late] = await meet(server, 'controls', [cho], { fps: CROWDED_FPS });
    people.push(late);
    const [a, b] = people;
    for (const other of [a, b]) await late.sees(other);
    await late.hears([a, b], people);
    const { joinMs, firstFrameMs } = await late.statistics();
    t.diagnostic(`a picture ${Math.round(firstFrameMs)} ms after joining, which took ${Math.round(joinMs)} ms`);
  });

  test('leaving takes one out of the others’ list, at once', async () => {
    const late = people.pop();
    await late.page.getByTestId('leave-button').click();
    await late.page.getByTestId('left-page').waitFor();
    await people[0].page.locator(people[0].tile(late)).waitFor({ state: 'detached' });
    await late.leave();
  });

  test('nobody is asked for a layer that nobody shows', async () => {
    const [a, b] = people;
    await a.sees(b);
    const wanted = await b.until('one layer of two is encoded', async () => {
      const video = (await b.statistics()).publish.filter((layer) => layer.kind === 'video');
      const on = video.filter((layer) => layer.wanted && layer.fps > 0);
      const off = video.filter((layer) => !layer.wanted && layer.fps === 0);
      return on.length === 1 && off.length === 1 ? video : null;
    });
    assert.equal(wanted.length, 2);
  });
});
