// Starts real servers on ports of their own and stops exactly those.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
export const SERVER = process.env.VIDEOCALL_SERVER ?? join(TARGET, 'debug/videocall-server');
const CLI = process.env.VIDEOCALL_CLI ?? join(TARGET, 'debug/videocall-cli');
const LOAD = process.env.VIDEOCALL_LOAD ?? join(TARGET, 'debug/videocall-load');
const DIST = process.env.VIDEOCALL_DIST ?? join(ROOT, 'dist');

// A free port, free for UDP as well.
export async function freePort() {
  for (;;) {
    const port = await new Promise((done, failed) => {
      const probe = createServer().once('error', failed);
      probe.listen(0, '127.0.0.1', () => {
        const { port } = probe.address();
        probe.close(() => done(port));
      });
    });
    const free = await new Promise((done) => {
      const probe = createSocket('udp4').once('error', () => done(false));
      probe.bind(port, '127.0.0.1', () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}

export class Process {
  #child;
  output = '';
  exited;

  constructor(command, args, { env = {}, prefix = [] } = {}) {
    const [program, ...rest] = [...prefix, command, ...args];
    this.#child = spawn(program, rest, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.output = (this.output + text).slice(-200_000);
      });
    }
    this.exited = new Promise((done) => {
      this.#child.once('exit', (code, signal) => done({ code, signal }));
      this.#child.once('error', (error) => {
        this.output += String(error);
        done({ code: -1, signal: null });
      });
    });
  }

  get pid() {
    return this.#child.pid;
  }

  async waitForOutput(pattern, seconds = 30) {
    const deadline = Date.now() + seconds * 1000;
    let over = false;
    this.exited.then(() => (over = true));
    while (!pattern.test(this.output)) {
      if (over || Date.now() > deadline) {
        throw new Error(`${over ? 'exited' : 'waited'} without printing ${pattern}:\n${this.output}`);
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    return this.output.match(pattern);
  }

  async stop(signal = 'SIGTERM') {
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    const result = await this.exited;
    clearTimeout(timer);
    return result;
  }
}

// A participant without a browser.
export function cli(command, server, meeting, user, ...more) {
  const join = ['--server', server.origin, '--meeting-id', meeting, '--user-id', user];
  return new Process(CLI, [command, ...join, ...more]);
}

// So many people who only listen, in the meeting that it names.
export function crowd(server, count) {
  const people = new Process(LOAD, [
    '--url', server.origin.replace('http', 'ws'), '--behaviour', 'meeting', '--meeting-name', 'crowd',
    '--connection-number', String(count), '--participants-per-meeting', String(count),
    '--cameras', '0', '--speakers', '0', '--layout', 'audio', '--duration', '10m',
  ]);
  people.meeting = 'crowd-0';
  return people;
}

// One videocall-server. `restart` brings it back on the same ports.
export class Server {
  constructor(options = {}) {
    this.options = options;
  }

  static async start(options = {}) {
    const server = new Server(options);
    server.httpPort = await freePort();
    server.mediaPort = await freePort();
    await server.restart();
    return server;
  }

  // Two that tell the page of each other.
  static async pair(options = {}) {
    const servers = [new Server(), new Server()];
    for (const server of servers) {
      server.httpPort = await freePort();
      server.mediaPort = await freePort();
    }
    for (const [n, server] of servers.entries()) {
      const { args = [] } = options;
      server.options = { ...options, args: [...args, '--peer-urls', servers[1 - n].origin] };
      await server.restart();
    }
    return servers;
  }

  async restart() {
    const { nats, prefix = [], args = [], hosts = ['127.0.0.1', '[::1]'] } = this.options;
    const listen = (port) => hosts.map((host) => `${host}:${port}`).join(',');
    this.process = new Process(
      SERVER,
      [
        '--http-listen', listen(this.httpPort),
        '--webtransport-listen', listen(this.mediaPort),
        '--ui-dir', DIST,
        ...(nats ? ['--nats-url', nats] : []),
        ...args,
      ],
      { prefix },
    );
    await this.process.waitForOutput(/Open http/);
  }

  get origin() {
    return `http://localhost:${this.httpPort}`;
  }

  async stop(signal) {
    return this.process.stop(signal);
  }
}

export class Nats {
  static async start() {
    const nats = new Nats();
    nats.port = await freePort();
    nats.store = mkdtempSync(join(tmpdir(), 'videocall-nats-'));
    await nats.restart();
    return nats;
  }

  async restart() {
    this.process = new Process('nats-server', [
      '-a', '127.0.0.1', '-p', String(this.port), '-js', '-sd', this.store,
    ], { env: { PATH: `${process.env.PATH}:/usr/sbin` } });
    await this.process.waitForOutput(/Server is ready/);
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  async stop(signal = 'SIGKILL') {
    return this.process.stop(signal);
  }

  async remove() {
    await this.stop();
    rmSync(this.store, { recursive: true, force: true });
  }
}
