// One meeting over two nodes and a real NATS server; nodes and NATS that fail.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { allTogether, leaveAll, meet } from '../lib/meet.mjs';
import { Nats, Server } from '../lib/processes.mjs';

const { ann, ben } = PEOPLE;

const sessions = async (server) => {
  const metrics = await (await fetch(`${server.origin}/metrics`)).text();
  return [...metrics.matchAll(/^videocall_sessions\{[^}]*\} (\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
};

describe('two nodes', () => {
  let nats;
  let servers = [];
  let people = [];
  before(async () => {
    nats = await Nats.start();
    servers = [await Server.start({ nats: nats.url }), await Server.start({ nats: nats.url })];
  });
  after(async () => {
    await leaveAll(people);
    for (const server of servers) await server.stop();
    await nats.remove();
  });

  const ready = async (server) => (await fetch(`${server.origin}/readyz`)).json();

  for (const transport of ['websocket', 'webtransport']) {
    test(`carry one meeting over ${transport}`, async () => {
      await leaveAll(people);
      people = await meet(servers, `over two nodes by ${transport}`, [ann, ben], { query: `?transport=${transport}` });
      await allTogether(people);
      await people[0].seesMoving(people[1]);
      await people[1].seesMoving(people[0]);
      for (const person of people) assert.equal((await person.statistics()).transport.toLowerCase(), transport);
      for (const server of servers) assert.equal((await ready(server)).status, 'ok');
    });
  }

  test('a node killed in the middle comes back with its people', async () => {
    await servers[1].stop('SIGKILL');
    await people[1].page.getByTestId('reconnecting-banner').waitFor();
    await people[1].screenshot('reconnecting');
    await servers[1].restart();
    await people[1].page.getByTestId('reconnecting-banner').waitFor({ state: 'detached' });
    await allTogether(people);
  });

  test('NATS lost is said and does not end a meeting, and its return brings all together', async () => {
    await nats.stop();
    await people[0].until('the node says that NATS is lost', async () => (await ready(servers[0])).status === 'degraded');
    assert.equal(await people[0].page.getByTestId('leave-button').count(), 1);
    await nats.restart();
    await people[0].until('the node says that NATS is back', async () => (await ready(servers[0])).status === 'ok');
    await allTogether(people);
  });
});

describe('two nodes that know each other', () => {
  let nats;
  let servers = [];
  let people = [];
  before(async () => {
    nats = await Nats.start();
    servers = await Server.pair({ nats: nats.url });
  });
  after(async () => {
    await leaveAll(people);
    for (const server of servers) await server.stop();
    await nats.remove();
  });

  // Who is left, and who goes: on a busy machine somebody may have found the other node nearer.
  const parting = async () => {
    const [stays, goes] = (await sessions(servers[1])) > 0 ? servers : servers.toReversed();
    assert.ok((await sessions(goes)) > 0, 'the node that goes has people');
    return [stays, goes];
  };

  for (const transport of ['websocket', 'webtransport']) {
    test(`one that is stopped sends its people to the other over ${transport}`, async (t) => {
      await leaveAll(people);
      people = await meet(servers, `rolling by ${transport}`, [ann, ben], { query: `?transport=${transport}` });
      await allTogether(people);
      const [stays, goes] = await parting();
      const moves = people.length - (await sessions(stays));
      const stopped = Date.now();
      const gone = goes.stop('SIGTERM');
      await people[0].until('both are on the node that is left', async () => (await sessions(stays)) === 2);
      t.diagnostic(`${moves} on the other node ${Date.now() - stopped} ms after theirs was asked to stop`);
      // It was not waited for in vain: nothing ended it by force.
      assert.deepEqual(await gone, { code: 0, signal: null });
      await allTogether(people);
      await people[0].seesMoving(people[1]);
      await people[1].seesMoving(people[0]);
      t.diagnostic(`seen and heard by each other after ${Date.now() - stopped} ms`);
      await goes.restart();
      await people[0].until('both nodes are well', async () => (await fetch(`${goes.origin}/readyz`)).ok);
    });
  }

  test('one killed for good leaves its people to the other', async (t) => {
    await leaveAll(people);
    people = await meet(servers, 'one node too few', [ann, ben]);
    await allTogether(people);
    const [stays, goes] = await parting();
    const killed = Date.now();
    await goes.stop('SIGKILL');
    await people[0].until('both are on the node that is left', async () => (await sessions(stays)) === 2);
    t.diagnostic(`on the other node ${Date.now() - killed} ms after the end of theirs`);
    await allTogether(people);
    t.diagnostic(`seen and heard by each other after ${Date.now() - killed} ms`);
  });
});

describe('a node whose NATS is down from the start', () => {
  let server;
  let people = [];
  before(async () => (server = await Server.start({ nats: 'nats://127.0.0.1:9' })));
  after(async () => {
    await leaveAll(people);
    await server.stop();
  });

  test('serves its own people and says what is wrong', async () => {
    const health = await (await fetch(`${server.origin}/readyz`)).json();
    assert.equal(health.status, 'degraded');
    assert.match(health.problems.join(), /NATS/);
    people = await meet(server, 'without NATS', [ann, ben]);
    await allTogether(people);
  });
});
