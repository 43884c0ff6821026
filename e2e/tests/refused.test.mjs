// A server that lets nobody in, for now or for good: the page says so and when it asks again, and gets
// in by itself, or says why not and asks no more.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { leaveAll, meet } from '../lib/meet.mjs';
import { Person } from '../lib/people.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben } = PEOPLE;

describe('a full server', () => {
  let server;
  let a;
  let b;
  before(async () => (server = await Server.start({ args: ['--max-sessions', '1'] })));
  after(async () => {
    await leaveAll([a, b].filter(Boolean));
    await server.stop();
  });

  test('tells who comes that there is no place, and counts down', async () => {
    [a] = await meet(server, 'full', [ann]);
    b = await Person.start(ben);
    await b.join(server, 'full');
    const banner = b.page.getByTestId('reconnecting-banner');
    await banner.getByText('There is no place left here now.').waitFor();
    await banner.getByTestId('countdown').waitFor();
    assert.match(await banner.getByTestId('countdown').textContent(), /^Trying again in \d+ s$/);
    await banner.getByTestId('try-now').waitFor();
    await b.screenshot('refused');
  });

  test('lets in by itself who waited', async () => {
    await a.page.getByTestId('leave-button').click();
    await b.page.getByTestId('alone-state').waitFor({ timeout: 60_000 });
    assert.equal(await b.page.getByTestId('reconnecting-banner').count(), 0);
  });
});

describe('a server that takes no guests', () => {
  let server;
  let person;
  before(async () => (server = await Server.start({ args: ['--guests', 'false'] })));
  after(async () => {
    await person?.leave();
    await server.stop();
  });
  const refusals = async () => {
    const metrics = await (await fetch(`${server.origin}/metrics`)).text();
    return Number(metrics.match(/^videocall_joins_total\{result="refused"\} (\d+)/m)?.[1] ?? 0);
  };

  for (const transport of ['websocket', 'webtransport']) {
    test(`is understood over ${transport}: the page says why and does not ask again`, async () => {
      person ??= await Person.start(ann);
      const before = await refusals();
      await person.open(server, transport, { query: `?transport=${transport}` });
      await person.page.getByTestId('prejoin-join').click();
      const error = person.page.getByTestId('error-state');
      await error.getByRole('heading', { name: 'You could not join' }).waitFor();
      await error.getByText('The server does not let you in.').waitFor();
      await error.getByText('guests are not allowed on this server').waitFor();
      assert.equal(await person.page.getByTestId('reconnecting-banner').count(), 0);
      // The session is over, so that nobody is left who could ask again, and had not asked before.
      assert.deepEqual(await person.page.evaluate(() => window.videocall.state().connection), null);
      assert.equal(await refusals(), before + 1);
      await person.screenshot(`not-admitted-${transport}`);
    });
  }
});
