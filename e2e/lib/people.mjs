// A person in a real Chromium of their own, with a fake camera and microphone.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';
import { FPS, mediaFor } from './media.mjs';

const ARTIFACTS = process.env.E2E_ARTIFACTS ?? resolve(import.meta.dirname, '../artifacts');
const MEDIA = join(tmpdir(), `videocall-e2e-media-${process.pid}`);
const PROBE = readFileSync(join(import.meta.dirname, 'probe.js'), 'utf8');
const media = new Map();

process.once('exit', () => rmSync(MEDIA, { recursive: true, force: true }));

// Everybody who is here: when one waits in vain, the cause is often with another.
const here = new Set();

export class Person {
  // `files: false` leaves the browser its own fake devices. `sharing` is the title of the tab that is
  // chosen when a screen is shared; without it that is a screen that Chromium makes up.
  static async start(who, { wrapper, viewport = { width: 960, height: 600 }, permissions = true, files = true, fps = FPS, sharing, args = [], colorScheme = 'light' } = {}) {
    const key = JSON.stringify([who, fps]);
    if (!media.has(key)) media.set(key, mediaFor(who, fps, MEDIA));
    const { video, audio } = media.get(key);
    const person = new Person();
    here.add(person);
    person.who = who;
    person.profile = mkdtempSync(join(tmpdir(), 'videocall-e2e-'));
    person.console = [];
    person.context = await chromium.launchPersistentContext(person.profile, {
      executablePath: wrapper ?? process.env.CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      viewport,
      colorScheme,
      reducedMotion: 'reduce',
      locale: 'en-US',
      permissions: permissions ? ['camera', 'microphone'] : [],
      ignoreDefaultArgs: ['--mute-audio'],
      args: [
        '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
        '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
        '--disable-features=CalculateNativeWinOcclusion',
        ...(permissions ? [] : ['--deny-permission-prompts']),
        ...(permissions && !sharing ? ['--use-fake-ui-for-media-stream'] : []),
        ...(sharing ? [`--auto-select-tab-capture-source-by-title=${sharing}`] : []),
        ...(files
          ? ['--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${video}`, `--use-file-for-fake-audio-capture=${audio}`]
          : ['--use-fake-device-for-media-stream=device-count=3']),
        ...args,
      ],
    });
    await person.context.addInitScript(PROBE);
    person.page = person.context.pages()[0] ?? (await person.context.newPage());
    person.page.on('console', (message) => person.note(`${message.type()}: ${message.text()}`));
    person.page.on('pageerror', (error) => person.note(`page error: ${error.message}`));
    person.page.on('worker', (worker) => worker.on('console', (message) => person.note(`worker ${message.type()}: ${message.text()}`)));
    return person;
  }

  note(line) {
    this.console.push(line);
    if (this.console.length > 500) this.console.shift();
  }

  // Opens the direct link and waits for the pre-join page.
  async open(server, meeting, { query = '' } = {}) {
    const path = `/meeting/${encodeURIComponent(this.who.name)}/${encodeURIComponent(meeting)}${query}`;
    await this.page.goto(server.origin + path);
    await this.page.getByTestId('prejoin-join').waitFor();
  }

  async join(server, meeting, options) {
    await this.open(server, meeting, options);
    await this.page.getByTestId('prejoin-join').click();
    await this.page.getByTestId('leave-button').waitFor();
  }

  tile(other, kind = 'video') {
    return `[data-testid="tile"][data-name="${other.who.name}"][data-kind="${kind}"] video`;
  }

  // Waits until the other's picture is there, in the other's colour.
  async sees(other, { seconds = 30, kind = 'video' } = {}) {
    const selector = this.tile(other, kind);
    return this.until(
      `${this.who.name} sees ${other.who.name}`,
      async () => {
        const picture = await this.page.evaluate((s) => window.probe.read(s), selector);
        return picture && near(picture.rgb, other.who.rgb) ? picture : null;
      },
      seconds,
    );
  }

  // Waits until the other's picture has moved: many frames, however long a busy machine takes.
  async seesMoving(other, { frames = 15, seconds = 30 } = {}) {
    const numbers = new Set();
    return this.until(
      `${this.who.name} sees ${other.who.name} move`,
      async () => {
        const seen = await this.page.evaluate((s) => window.probe.watch(s, 1000), this.tile(other));
        for (const { number } of seen) numbers.add(number);
        return numbers.size >= frames;
      },
      seconds,
    );
  }

  // Waits until exactly the tones of these people are heard, far above every other tone of `all`.
  async hears(others, all, seconds = 30) {
    const wanted = others.map((other) => other.who.tone);
    const silent = all.map((other) => other.who.tone).filter((tone) => !wanted.includes(tone));
    return this.until(
      `${this.who.name} hears ${others.map((other) => other.who.name).join(', ') || 'nobody'}`,
      async () => {
        const heard = await this.page.evaluate((tones) => window.probe.listen(tones), [...wanted, ...silent]);
        this.heard = heard;
        const loudest = Math.max(...wanted.map((tone) => heard.best[tone]));
        const loud = wanted.every((tone) => heard.best[tone] > -45);
        // The bursts of a tone spread a little over its neighbours.
        const quiet = silent.every((tone) => heard.best[tone] < (wanted.length ? loudest - 25 : -70));
        return loud && quiet ? heard : null;
      },
      seconds,
    );
  }

  async statistics() {
    return this.page.evaluate(() => window.videocall.statistics());
  }

  async until(what, check, seconds = 30) {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const result = await check();
      if (result) return result;
      if (Date.now() > deadline) {
        const reports = [];
        for (const person of here) {
          await person.screenshot(`failed-${what.replaceAll(/\W+/g, '-')}-${person.who.name}`).catch(() => {});
          reports.push(await person.report());
        }
        throw new Error([`waited ${seconds} s: ${what}`, ...reports].join('\n'));
      }
      await this.page.waitForFunction(() => new Promise((done) => setTimeout(() => done(true), 100)));
    }
  }

  async report() {
    const state = await this.page
      .evaluate(async () => JSON.stringify([window.videocall?.state?.(), await window.videocall?.statistics?.()]))
      .catch(String);
    return `-- ${this.who.name}\nheard: ${JSON.stringify(this.heard)}\nstate: ${state}\n${this.console.slice(-15).join('\n')}`;
  }

  async screenshot(name) {
    mkdirSync(ARTIFACTS, { recursive: true });
    const path = join(ARTIFACTS, `${name}.png`);
    await this.page.screenshot({ path });
    return path;
  }

  async leave() {
    here.delete(this);
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}

// Encoding and colour conversion move a colour a little; people are over 100 apart.
export function near(a, b) {
  return a.every((value, i) => Math.abs(value - b[i]) < 45);
}
