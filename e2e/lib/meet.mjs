// Brings people into a meeting, and checks what they see.
import { CROWDED_FPS, FPS } from './media.mjs';
import { Person } from './people.mjs';

// Each person joins through the server of the same place in the list, or the only one.
export async function meet(servers, meeting, who, given) {
  const options = { fps: who.length > 2 ? CROWDED_FPS : FPS, ...given };
  const list = [servers].flat();
  const people = [];
  try {
    for (const person of who) people.push(await Person.start(person, options));
    for (const [at, person] of people.entries()) {
      await person.join(list[at % list.length], meeting, options);
    }
    return people;
  } catch (error) {
    // Nobody else knows of them yet: a browser that stays keeps the test from ending.
    const reports = [];
    for (const person of people) {
      reports.push(await person.report());
      await person.leave();
    }
    throw new Error(`${error.message}\n${reports.join('\n')}`);
  }
}

export async function leaveAll(people) {
  for (const person of people) await person.leave();
}

// Everybody sees and hears all others.
export async function allTogether(people) {
  for (const person of people) {
    const others = people.filter((other) => other !== person);
    for (const other of others) await person.sees(other);
    await person.hears(others, people);
  }
}
