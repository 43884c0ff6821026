// A server that has no place left: the page says so and when it asks again, and gets in by itself.
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
