// Two and three people see and hear each other, over both transports, on one node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { Person } from '../lib/people.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben, cho } = PEOPLE;

async function meet(server, meeting, who, options) {
  const people = [];
  for (const person of who) people.push(await Person.start(person));
  for (const person of people) await person.join(server, meeting, options);
  return people;
}

async function leaveAll(people) {
  for (const person of people) await person.leave();
}

// Frames move: their numbers rise, and there are many a second.
function checkMoving(frames, what) {
  const numbers = new Set(frames.map((frame) => frame.number));
  assert.ok(numbers.size >= 15, `${what}: ${numbers.size} different frames of ${frames.length} in 2 s`);
}

for (const transport of ['webtransport', 'websocket']) {
  describe(`two people over ${transport}`, () => {
    let server;
    let people = [];
    before(async () => (server = await Server.start()));
    after(async () => {
      await leaveAll(people);
      await server.stop();
    });

    test('see each other move and hear each other', async () => {
      people = await meet(server, `two-${transport}`, [ann, ben], { query: `?transport=${transport}` });
      const [a, b] = people;
      await Promise.all([a.sees(b), b.sees(a)]);
      checkMoving(await a.watches(b), 'Ann sees Ben');
      checkMoving(await b.watches(a), 'Ben sees Ann');
      await a.hears([b], people);
      await b.hears([a], people);
      const statistics = await b.statistics();
      const expected = transport === 'websocket' ? 'WebSocket' : 'WebTransport';
      assert.equal(statistics.transport, expected);
      console.log(`# ${transport}`, JSON.stringify(statistics));
    });
  });
}

describe('three people', () => {
  let server;
  let people = [];
  before(async () => (server = await Server.start()));
  after(async () => {
    await leaveAll(people);
    await server.stop();
  });

  test('see and hear both others', async () => {
    people = await meet(server, 'three', [ann, ben, cho]);
    for (const person of people) {
      const others = people.filter((other) => other !== person);
      for (const other of others) await person.sees(other);
      await person.hears(others, people);
    }
  });
});
