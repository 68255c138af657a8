// npm start: emulator, API and page, until Ctrl-C.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadEnv } from './settings.js';

// The first start installs the packages.
if (!existsSync(new URL('node_modules/.package-lock.json', import.meta.url))) {
  const { status } = spawnSync('npm ci --no-audit --no-fund', { cwd: fileURLToPath(new URL('.', import.meta.url)), stdio: 'inherit', shell: true });
  if (status !== 0) fail(new Error('The packages can’t be installed; why stands above.'));
}
const { start } = await import('./system.js');

let system;
let status; // how to end, once that is wanted
async function stop(code) {
  if (status !== undefined) return;
  status = code;
  if (!system) return; // they are starting: see below
  await system.stop();
  process.exit(status);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void stop(0));

try {
  system = await start({
    env: loadEnv(),
    // Ctrl-C reaches the others too, perhaps before this process.
    exited: (name, code) =>
      setTimeout(() => {
        if (status !== undefined) return;
        console.error(`The ${name} has ended (${code}); the others end too.`);
        void stop(1);
      }, 300),
  });
} catch (error) {
  if (status === undefined) fail(error);
}
if (status !== undefined) {
  await system?.stop();
  process.exit(status);
}

const { settings } = system;
console.log(`
  Page     ${settings.page}   <- open this
  API      ${settings.api}
  Logto    ${settings.endpoint}   ${settings.local ? 'the emulator: sign in as anybody' : 'from .env'}
${settings.local ? `  Control  ${settings.endpoint}/control   suspend users, rotate keys, make it fail\n` : ''}
  Ctrl-C stops all.
`);

function fail(error) {
  console.error(error.message);
  process.exit(1);
}
