// Starts sign-in, API and page together. The end-to-end test uses it too.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';
import { readSettings } from './settings.js';
import { startSignIn } from './sign-in/provider.js';
import { pageConfig } from './vite.config.js';

const here = fileURLToPath(new URL('.', import.meta.url));

// start resolves when all three can be used. env is where settings come from;
// exited is called if the API ends by itself.
export async function start({ env, exited = () => {} }) {
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
    const binary = await buildAPI();
    parts.push(binary);
    if (settings.local) {
      system.signIn = await startSignIn({
        ...settings,
        port: settings.ports.signIn,
        webhook: { url: `${settings.api}/logto/webhook`, signingKey: settings.signingKey },
      });
      parts.push(system.signIn);
    }
    system.api = await startAPI({ binary: binary.path, settings, env, exited });
    parts.push(system.api);
    const page = await createServer({ ...pageConfig(settings), configFile: false, logLevel: 'warn', clearScreen: false });
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

async function buildAPI() {
  const directory = mkdtempSync(join(tmpdir(), 'logto-fullstack-'));
  const stop = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', stop);
  const path = join(directory, process.platform === 'win32' ? 'api.exe' : 'api');
  try {
    const build = spawn('go', ['build', '-o', path, './api'], { cwd: here, stdio: 'inherit' });
    const [code] = await once(build, 'exit');
    if (code !== 0) throw new Error('The API does not build; what Go says stands above.');
  } catch (error) {
    stop();
    throw error.code === 'ENOENT' ? new Error('There is no go command: the API needs Go, see https://go.dev/dl/') : error;
  }
  return { path, stop };
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
