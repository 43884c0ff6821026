// A large meeting: pages, and pictures that nobody sees are not sent.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { leaveAll } from '../lib/meet.mjs';
import { Person } from '../lib/people.mjs';
import { crowd, Server } from '../lib/processes.mjs';

const { ann, ben } = PEOPLE;
const OTHERS = 60;

describe('a crowd', () => {
  let server;
  let others;
  let a;
  let b;
  before(async () => {
    server = await Server.start();
    others = crowd(server, OTHERS);
    a = await Person.start(ann);
    b = await Person.start(ben);
  });
  after(async () => {
    await leaveAll([a, b].filter(Boolean));
    await others?.stop();
    await server.stop();
  });
  const layers = async () => (await b.statistics()).publish.filter(({ kind }) => kind === 'video');
  const isSent = async () => (await layers()).some(({ wanted, fps }) => wanted && fps > 0);
  const isNotSent = async () => (await layers()).every(({ wanted, fps }) => !wanted && fps === 0);
  const received = async () => (await a.statistics()).receive.filter(({ kind }) => kind === 'video');
  const tiles = () => a.page.getByTestId('tile').count();

  test('comes in pages, who has a camera on the first', async () => {
    await a.join(server, others.meeting);
    await a.until('all are there', async () => (await a.page.evaluate(() => window.videocall.state().participants)) === OTHERS, 60);
    await b.join(server, others.meeting);
    await a.sees(b);
    await a.hears([b], [a, b]);
    const shown = await tiles();
    assert.ok(shown >= 9 && shown <= 16, `${shown} tiles`);
    await a.screenshot('crowd');
    const own = await a.page.locator('[data-testid=tile][data-name=Ann]').count();
    assert.equal(own, 1, 'oneself is on the first page');
    // A tile of a page is small: the smallest layer is enough.
    await a.until('the smallest layer comes', async () => (await received()).some(({ spatial, fps }) => spatial === 0 && fps > 0));
  });

  test('sends nothing of who is on another page, but sound, and turns pages by key', async (t) => {
    await a.page.keyboard.press('PageDown');
    await a.page.getByTestId('page-number').getByText(/^2 /).waitFor();
    assert.equal(await a.page.locator(a.tile(b)).count(), 0);
    await a.until('Ben sends no picture', isNotSent);
    assert.deepEqual(await received(), []);
    await a.hears([b], [a, b]);
    const back = Date.now();
    await a.page.getByTestId('previous-page').click();
    await a.sees(b);
    t.diagnostic(`seen ${Date.now() - back} ms after the page was turned`);
    await a.seesMoving(b);
  });

  test('sends nothing to a hidden tab, but sound', async (t) => {
    await a.until('Ben sends', isSent);
    // Headless Chromium shows all of its tabs: the page is told otherwise.
    const show = (state) => a.page.evaluate((state) => {
      Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
    }, state);
    await show('hidden');
    await a.until('Ben sends no picture', isNotSent);
    await a.hears([b], [a, b]);
    const back = Date.now();
    await show('visible');
    await a.until('Ben sends', isSent);
    await a.sees(b);
    t.diagnostic(`seen ${Date.now() - back} ms after the tab came back`);
    await a.seesMoving(b);
  });

  test('is listed in rows that are in view only, and can be searched', async () => {
    await a.page.getByTestId('participants-toggle').click();
    const rows = a.page.getByTestId('participants-list').locator('li');
    await rows.first().waitFor();
    assert.ok((await rows.count()) < OTHERS / 2, `${await rows.count()} rows`);
    assert.equal(await rows.first().getAttribute('aria-setsize'), String(OTHERS + 2));
    await a.screenshot('crowd-people');
    await a.page.getByTestId('participants-list').locator('..').evaluate((list) => list.scrollTo(0, list.scrollHeight));
    await a.page.locator(`[data-testid=participants-list] li[aria-posinset="${OTHERS + 2}"]`).waitFor();
    await a.page.getByTestId('find-person').fill('ben');
    await a.page.waitForFunction(() => document.querySelectorAll('[data-testid=participants-list] li').length === 1);
    assert.match(await rows.first().textContent(), /Ben/);
    await a.page.getByTestId('find-person').fill('nobody at all');
    await a.page.getByText('Nobody has this name').waitFor();
    await a.page.keyboard.press('Escape');
  });

  test('puts who begins to speak on the first page, and moves nobody else', async () => {
    const names = () => a.page.getByTestId('tile').evaluateAll((all) => all.map((tile) => tile.dataset.name));
    await b.page.getByTestId('camera-toggle').click();
    await b.page.getByTestId('mic-toggle').click();
    await a.page.locator(a.tile(b)).waitFor({ state: 'hidden' });
    const before = await names();
    assert.ok(before.includes('Ben'), 'who was seen keeps the place');
    await b.page.getByTestId('mic-toggle').click();
    await a.page.locator('[data-testid=tile][data-name=Ben].speaking').waitFor();
    assert.deepEqual(await names(), before);
  });
});
