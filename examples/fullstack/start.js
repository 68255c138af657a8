// npm start: sign-in, API and page, until Ctrl-C.
import { loadEnv } from './settings.js';

const { start } = await import('./system.js').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  fail(new Error('The packages are not installed: run npm ci first.'));
});

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
    // Ctrl-C reaches the API too, perhaps before this process.
    exited: (code) =>
      setTimeout(() => {
        if (status !== undefined) return;
        console.error(`The API has ended (${code}); the others end too.`);
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
  Sign-in  ${settings.endpoint}   ${settings.local ? 'local, sign in as alice with password alice' : 'from .env'}
${settings.local ? `           ${settings.endpoint}/admin   suspend a user here\n` : ''}
  Ctrl-C stops all.
`);

function fail(error) {
  console.error(error.message);
  process.exit(1);
}
