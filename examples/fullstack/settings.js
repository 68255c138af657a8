// The four values that the page and the API share: from a .env file for a real
// tenant, else those of the emulator.
import { loadEnvFile } from 'node:process';
import { fileURLToPath } from 'node:url';
import { described } from './emulator.js';

const names = ['LOGTO_ENDPOINT', 'LOGTO_JWKS_URI', 'LOGTO_AUDIENCE', 'LOGTO_CLIENT_ID'];

// ENV_FILE names another file. What is already in the environment wins.
export function loadEnv(env = process.env) {
  try {
    loadEnvFile(env.ENV_FILE || fileURLToPath(new URL('.env', import.meta.url)));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  return env;
}

export function readSettings(env) {
  const ports = {
    page: port(env, 'PAGE_PORT', 5180),
    api: port(env, 'API_PORT', 5181),
    signIn: port(env, 'SIGN_IN_PORT', 5182),
  };
  const missing = names.filter((name) => !env[name]?.trim());
  if (missing.length > 0 && missing.length < names.length) {
    throw new Error(`Of the four values, these are not set: ${missing.join(', ')}. Set all four in .env, or none for the emulator.`);
  }
  const local = missing.length > 0;
  const emulated = local && described();
  const address = `http://localhost:${ports.signIn}/emulator`;
  const [endpoint, jwksUri, resource, clientId] = local
    ? [address, `${address}/oidc/jwks`, emulated.resource, emulated.clientId]
    : names.map((name) => env[name].trim());
  return {
    local,
    ports,
    page: `http://localhost:${ports.page}`,
    api: `http://localhost:${ports.api}`,
    // The SDK adds /oidc itself.
    endpoint: endpoint.replace(/(\/oidc)?\/*$/, ''),
    jwksUri,
    resource, // not to be touched: it is compared byte by byte
    clientId,
    // What webhooks are signed with. A tenant's may be missing: then there are none.
    signingKey: local ? emulated.signingKey : (env.LOGTO_SIGNING_KEY?.trim() ?? ''),
  };
}

function port(env, name, fallback) {
  const text = env[name] || String(fallback);
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 65535) {
    throw new Error(`${name} is ${JSON.stringify(text)}: it must be a port number.`);
  }
  return number;
}
