// The whole way by keyboard alone, and what the browser tells a screen reader in each state.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { Person } from '../lib/people.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben } = PEOPLE;
const CONTROLS = new Set(['button', 'link', 'textbox', 'searchbox', 'combobox', 'PopUpButton', 'ComboBoxMenuButton', 'checkbox', 'radio', 'slider', 'switch', 'MenuListPopup', 'img', 'image', 'dialog', 'toolbar']);

// Presses Tab until the element has the focus, and checks that one sees where it is on the way.
async function tabTo(page, testId) {
  for (let n = 0; n < 40; n += 1) {
    await page.keyboard.press('Tab');
    const focus = await page.evaluate(() => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return { id: element.dataset.testid, html: element.outerHTML.slice(0, 120), body: element === document.body, ring: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 };
    });
    if (!focus.body) assert.ok(focus.ring, `no focus ring: ${focus.html}`);
    if (focus.id === testId) return;
  }
  assert.fail(`${testId} cannot be reached by Tab`);
}

// Controls and pictures without a name, as a screen reader gets them, and landmarks that lack.
async function unnamed(page) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  await session.detach();
  const told = nodes.filter((node) => !node.ignored);
  const problems = told
    .filter((node) => CONTROLS.has(node.role?.value) && node.role.value !== 'MenuListPopup' && !node.name?.value?.trim())
    .map((node) => `${node.role.value} without a name`);
  const count = (role) => told.filter((node) => node.role?.value === role).length;
  if (count('main') !== 1) problems.push(`${count('main')} main landmarks`);
  const titles = told.filter((node) => node.role?.value === 'heading' && node.properties?.some((p) => p.name === 'level' && p.value.value === 1));
  if (titles.length !== 1) problems.push(`${titles.length} headings of the first level`);
  return problems;
}

describe('without a mouse', () => {
  let server;
  let a;
  let b;
  before(async () => (server = await Server.start()));
  after(async () => {
    await a?.leave();
    await b?.leave();
    await server.stop();
  });
  const fine = async (state) => assert.deepEqual(await unnamed(a.page), [], state);
  const focused = () => a.page.evaluate(() => document.activeElement.dataset.testid);

  test('one gets in', async () => {
    a = await Person.start(ann);
    await a.page.goto(server.origin);
    await a.page.getByTestId('start-new').waitFor();
    await fine('start page');
    await tabTo(a.page, 'join-button');
    await a.page.keyboard.press('Enter');
    await a.page.getByRole('alert').filter({ hasText: 'code' }).waitFor();
    await fine('start page with an error');
    await a.page.keyboard.press('Shift+Tab');
    await tabTo(a.page, 'join-code');
    await a.page.keyboard.press('Shift+Tab');
    assert.equal(await focused(), 'start-new');
    await a.page.keyboard.press('Enter');
    await a.page.getByTestId('prejoin-join').waitFor();
    await fine('before joining');
    await tabTo(a.page, 'name-input');
    await a.page.keyboard.press('Control+A');
    await a.page.keyboard.type('Ann');
    await a.page.keyboard.press('Enter');
    await a.page.getByTestId('alone-state').waitFor();
    await fine('alone');
  });

  test('who comes and goes is told', async () => {
    b = await Person.start(ben);
    await b.join(server, decodeURIComponent(new URL(a.page.url()).pathname.split('/').pop()));
    const announcement = a.page.getByTestId('announcement');
    await announcement.getByText('Ben joined').waitFor({ state: 'attached' });
    await fine('in a meeting');
    await b.leave();
    b = null;
    await announcement.getByText('Ben left').waitFor({ state: 'attached' });
  });

  test('controls say what they do, and panels give the focus back', async () => {
    await tabTo(a.page, 'mic-toggle');
    const microphone = a.page.getByTestId('mic-toggle');
    assert.equal(await microphone.getAttribute('aria-label'), 'Mute');
    await a.page.keyboard.press('Space');
    await a.page.locator('[data-testid=mic-toggle][aria-label=Unmute]').waitFor();
    for (const [toggle, panel] of [['participants-toggle', 'participants-panel'], ['stats-toggle', 'stats-panel'], ['settings-toggle', 'settings-panel']]) {
      await tabTo(a.page, toggle);
      await a.page.keyboard.press('Enter');
      await a.page.getByTestId(panel).waitFor();
      assert.equal(await focused(), panel);
      assert.equal(await a.page.getByTestId(toggle).getAttribute('aria-expanded'), 'true');
      await fine(panel);
      await a.page.keyboard.press('Escape');
      await a.page.getByTestId(panel).waitFor({ state: 'detached' });
      assert.equal(await focused(), toggle);
    }
  });

  test('one gets out', async () => {
    await tabTo(a.page, 'leave-button');
    await a.page.keyboard.press('Enter');
    await a.page.getByTestId('left-page').waitFor();
    await fine('after the meeting');
  });
});
