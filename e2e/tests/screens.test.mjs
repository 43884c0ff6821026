// Every state of the page at the sizes of a laptop and of a phone, kept as pictures to look at, and
// checked for what a picture does not show: that nothing overflows and all controls have names.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { Person } from '../lib/people.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben } = PEOPLE;
const SIZES = { laptop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };

async function check(person, name) {
  await person.screenshot(name);
  const problems = await person.page.evaluate(() => {
    const found = [];
    if (document.documentElement.scrollWidth > innerWidth + 1) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);
    for (const control of document.querySelectorAll('button, input, select, a')) {
      const label = control.getAttribute('aria-label') || control.textContent.trim() || control.closest('label')?.textContent.trim() || document.querySelector(`label[for="${control.id}"]`)?.textContent;
      if (!label) found.push(`without a name: ${control.outerHTML.slice(0, 120)}`);
    }
    return found;
  });
  assert.deepEqual(problems, [], name);
}

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark']) {
    describe(`${size}, ${colorScheme}`, () => {
      let server;
      let a;
      let b;
      const name = (state) => `${state}-${size}-${colorScheme}`;
      before(async () => (server = await Server.start()));
      after(async () => {
        await a?.leave();
        await b?.leave();
        await server.stop();
      });

      test('every state', async () => {
        a = await Person.start(ann, { viewport, colorScheme });
        await a.page.goto(server.origin);
        await a.page.getByTestId('start-new').waitFor();
        await check(a, name('start'));
        await a.page.getByTestId('join-button').click();
        await check(a, name('start-error'));

        await a.open(server, 'screens');
        await a.page.waitForFunction(() => document.querySelector('[data-testid=preview-video]')?.videoWidth > 0);
        await check(a, name('prejoin'));
        await a.page.getByTestId('prejoin-join').click();
        await a.page.getByTestId('alone-state').waitFor();
        await check(a, name('alone'));

        b = await Person.start(ben);
        await b.join(server, 'screens');
        await a.sees(b);
        await check(a, name('grid'));
        await a.page.getByTestId('participants-toggle').click();
        await a.page.getByTestId('participants-list').waitFor();
        await check(a, name('participants'));
        await a.page.keyboard.press('i');
        await a.page.getByTestId('stats-panel').getByText('Sound', { exact: true }).first().waitFor();
        await a.page.getByTestId('stats-panel').getByText('Sending limit').waitFor();
        await check(a, name('statistics'));
        await a.page.keyboard.press('Escape');
        await a.page.keyboard.press('?');
        await check(a, name('shortcuts'));
        await a.page.keyboard.press('Escape');
        await a.page.getByTestId('layout-toggle').click();
        await a.sees(b);
        await check(a, name('speaker'));

        await server.stop('SIGKILL');
        await a.page.getByTestId('reconnecting-banner').waitFor();
        await check(a, name('reconnecting'));
        await server.restart();
        await a.page.getByTestId('reconnecting-banner').waitFor({ state: 'detached' });
        await a.page.getByTestId('leave-button').click();
        await a.page.getByTestId('left-page').waitFor();
        await check(a, name('left'));
      });
    });
  }
}

describe('without permission', () => {
  let server;
  let person;
  before(async () => (server = await Server.start()));
  after(async () => {
    await person?.leave();
    await server.stop();
  });

  test('the page says what to do, and one can join all the same', async () => {
    person = await Person.start(ann, { permissions: false, viewport: SIZES.laptop });
    await person.open(server, 'denied');
    await person.page.getByRole('alert').filter({ hasText: 'camera' }).first().waitFor();
    await check(person, 'denied-laptop-light');
    await person.page.getByTestId('prejoin-join').click();
    await person.page.getByTestId('alone-state').waitFor();
  });
});

describe('other languages', () => {
  let server;
  let person;
  before(async () => (server = await Server.start()));
  after(async () => {
    await person?.leave();
    await server.stop();
  });

  test('Russian and Thai fit as well', async () => {
    person = await Person.start(ann, { viewport: SIZES.phone });
    await person.page.goto(server.origin);
    for (const [tag, words] of [['ru', 'Новая встреча'], ['th', 'เริ่มประชุมใหม่']]) {
      await person.page.locator('.preferences select').first().selectOption(tag);
      await person.page.getByTestId('start-new').getByText(words).waitFor();
      assert.equal(await person.page.locator('html').getAttribute('lang'), tag);
      await check(person, `start-phone-${tag}`);
    }
  });
});
