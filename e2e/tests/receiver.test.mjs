// A receiver whose path is too slow: fewer pictures, then none, which the page says; the voice goes on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { allTogether, leaveAll } from '../lib/meet.mjs';
import { Cable, withoutNamespaces } from '../lib/network.mjs';
import { Server } from '../lib/processes.mjs';

// A grainy picture takes as many bits as it may.
const ann = { ...PEOPLE.ann, noise: 30 };
const { ben } = PEOPLE;

for (const transport of ['webtransport', 'websocket']) {
  describe(`a slow receiver over ${transport}`, { skip: withoutNamespaces }, () => {
    let cable;
    let server;
    let people = [];
    before(async () => {
      cable = new Cable();
      server = await Server.start({ prefix: cable.far.prefix, hosts: cable.hosts });
      people = [await cable.arrive(ann, 'far', server), await cable.arrive(ben, 'near', server)];
    });
    after(async () => {
      await leaveAll(people);
      await server?.stop();
      cable?.remove();
    });
    const tile = '[data-testid=tile][data-name=Ann]';
    const picture = async (b) => (await b.statistics()).receive.find(({ kind }) => kind === 'video');

    test('gets a smaller picture at 300 kbit/s, and the voice', async (t) => {
      for (const person of people) await person.join(person.via, 'slow', { query: `?transport=${transport}` });
      await allTogether(people);
      const [a, b] = people;
      await b.until('the large layer is shown', async () => (await picture(b))?.spatial > 0);
      cable.limit('far', 300);
      await b.until('a smaller layer is shown, or none', async () => {
        const paused = await b.page.locator(`${tile}[data-paused]`).count();
        const { spatial, fps } = (await picture(b)) ?? {};
        return paused > 0 || (spatial === 0 && fps > 0);
      }, 60);
      await b.hears([a], people);
      t.diagnostic(JSON.stringify(await picture(b)));
    });

    test('is told that the picture is paused at 90 kbit/s, hears on, and sees again', async (t) => {
      const [a, b] = people;
      cable.limit('far', 90);
      await b.page.locator(`${tile}[data-paused]`).waitFor({ timeout: 60_000 });
      await b.page.locator(tile).getByText('Picture paused').waitFor();
      await b.screenshot(`picture-paused-${transport}`);
      await b.hears([a], people);
      const { concealedShare, frozenShare, receive } = await b.statistics();
      assert.ok(concealedShare >= 0 && concealedShare <= 1 && frozenShare >= 0 && frozenShare <= 1);
      t.diagnostic(`sound concealed ${concealedShare.toFixed(3)}, picture frozen ${frozenShare.toFixed(3)}`);
      assert.ok(receive.find(({ kind }) => kind === 'audio').fps > 0);
      cable.limit('far');
      await b.page.locator(`${tile}:not([data-paused])`).waitFor({ timeout: 90_000 });
      await b.sees(a);
      await b.hears([a], people);
    });
  });
}
