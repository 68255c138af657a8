// Starts emulator, API and page together. The end-to-end tests use it too.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';
import { startEmulator } from './emulator.js';
import { readSettings } from './settings.js';
import { pageConfig } from './vite.config.js';

const here = fileURLToPath(new URL('.', import.meta.url));

// start resolves when all three can be used. env is where settings come from;
// exited is called with a name and a status if one of them ends by itself. page gives
// Vite's configuration of another page, by the settings.
export async function start({ env, exited = () => {}, page: config = pageConfig }) {
  const settings = readSettings(env);
  const parts = [];
  const system = {
    settings,
    async stop() {
      for (const part of parts.splice(0).reverse()) await part.stop();
    },
  };
  try {
    await checkPorts(settings);
    const { directory, stop, path } = await build(settings.local ? ['api', 'logto'] : ['api']);
    parts.push({ stop });
    if (settings.local) {
      const emulator = await startEmulator({ binary: path('logto'), directory, settings, exited: (code) => exited('emulator', code) });
      system.emulator = emulator;
      parts.push({ stop: emulator.end });
    }
    system.api = await startAPI({ binary: path('api'), settings, env, exited: (code) => exited('API', code) });
    parts.push(system.api);
    const page = await createServer({ ...config(settings), configFile: false, cacheDir: join(directory, 'vite'), logLevel: 'warn', clearScreen: false });
    parts.push({ stop: () => page.close() });
    await page.listen();
    return system;
  } catch (error) {
    await system.stop();
    throw error;
  }
}

async function checkPorts({ local, ports }) {
  const wanted = [['PAGE_PORT', ports.page], ['API_PORT', ports.api]];
  if (local) wanted.push(['SIGN_IN_PORT', ports.signIn]);
  for (const [name, port] of wanted) {
    if (await answers(port)) {
      throw new Error(`Port ${port} is taken. Stop what listens there, or choose another one: ${name}=… npm start`);
    }
  }
}

// A browser may take localhost for either address.
async function answers(port) {
  const tries = ['127.0.0.1', '::1'].map(
    (host) =>
      new Promise((resolve) => {
        const socket = connect({ host, port });
        const end = (result) => {
          socket.destroy();
          resolve(result);
        };
        socket.once('connect', () => end(true)).once('error', () => end(false)).setTimeout(1000, () => end(false));
      }),
  );
  return (await Promise.all(tries)).includes(true);
}

const packages = { api: './api', logto: 'github.com/seed-70fe37f4/logto/cmd/logto' };

// build makes commands in a directory that stop removes.
async function build(commands) {
  const directory = mkdtempSync(join(tmpdir(), 'logto-fullstack-'));
  const stop = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', stop);
  try {
    for (const command of commands) {
      const compiler = spawn('go', ['build', '-o', directory + sep, packages[command]], { cwd: here, stdio: 'inherit' });
      const [code] = await once(compiler, 'exit');
      if (code !== 0) throw new Error(`The command ${command} does not build; what Go says stands above.`);
    }
  } catch (error) {
    stop();
    throw error.code === 'ENOENT' ? new Error('There is no go command: API and emulator need Go, see https://go.dev/dl/') : error;
  }
  return { directory, stop, path: (command) => join(directory, process.platform === 'win32' ? `${command}.exe` : command) };
}

async function startAPI({ binary, settings, env, exited }) {
  let child;
  process.once('exit', () => child?.kill()); // whatever ended this process
  const api = {
    get pid() {
      return child.pid;
    },
    // more is for the end-to-end test: variables that differ this time.
    async start(more = {}) {
      const started = spawn(binary, {
        env: {
          ...env,
          LOGTO_ENDPOINT: settings.endpoint,
          LOGTO_JWKS_URI: settings.jwksUri,
          LOGTO_AUDIENCE: settings.resource,
          LOGTO_CLIENT_ID: settings.clientId,
          LOGTO_SIGNING_KEY: settings.signingKey,
          API_ADDR: `127.0.0.1:${settings.ports.api}`,
          PAGE_ORIGIN: settings.page,
          ...more,
        },
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      child = started;
      started.once('exit', (code) => {
        if (child === started) exited(code);
      });
      while (!(await answers(settings.ports.api))) {
        if (started.exitCode !== null || started.signalCode !== null) throw new Error('The API did not start; why stands above.');
        await sleep(50);
      }
    },
    async stop() {
      const stopping = child;
      child = undefined;
      if (!stopping || stopping.exitCode !== null || stopping.signalCode !== null) return;
      const gone = once(stopping, 'exit');
      stopping.kill();
      await gone;
    },
  };
  await api.start();
  return api;
}
