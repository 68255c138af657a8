// What takes the place of Logto in a test: the emulator, or npm oidc-provider, which
// for the example is a tenant in .env. Both can be told to do the same things.
import { randomBytes } from 'node:crypto';
import { start } from '../system.js';
import { environment, heading, tabTo } from './harness.js';
import { startProvider } from './oidc-provider/provider.js';

const engines = { emulator, 'oidc-provider': provider };

// startEngine gives the one of that name, started together with API and page. more are
// variables of the environment; page is another page, see system.js.
export async function startEngine(name, more, page) {
  const engine = await engines[name](more, page);
  return {
    ...engine,
    // signIn ends on the protected page.
    async signIn(page, username) {
      await page.goto(`${engine.system.settings.page}/protected`);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await engine.choose(page, username);
      await heading(page, 'Protected page');
    },
  };
}

const users = { alice: 'k3v9d0alice1', martha: 'm4n7martha02' };

async function emulator(more, otherPage) {
  const system = await start({ env: await environment(more), page: otherPage });
  const { control, state } = system.emulator;
  const user = (page, username) => page.getByRole('button', { name: users[username] });
  let restarted = 0; // it forgets its requests
  return {
    system,
    logto: {
      stop: system.emulator.stop,
      async start() {
        await system.emulator.start();
        restarted = Date.now();
      },
      control,
      state,
      rotate: (algorithm) => control('rotate', { algorithm }),
      lifetime: (seconds) => control('lifetimes', { accessToken: seconds }),
      failTokens: (status) => control('faults', { faults: status ? [{ at: 'token', do: 'fail', status }] : [] }),
      suspend: (username) => control('suspend', { user: users[username] }),
      unsuspend: (username) => control('unsuspend', { user: users[username] }),
      setPassword: (username) => control('set-password', { user: users[username] }),
      async keysServedAt() {
        const { calls } = await state();
        return Math.max(restarted, ...calls.filter((call) => call.endpoint === 'jwks').map((call) => Date.parse(call.time)));
      },
    },
    stop: () => system.stop(),
    asks: (page) => page.getByText('This is not Logto').waitFor(),
    choose: (page, username) => user(page, username).click(),
    async chooseByKeyboard(page, username) {
      await user(page, username).waitFor();
      await tabTo(page, user(page, username));
      await page.keyboard.press('Enter');
    },
    async refuses(page, username) {
      await page.getByText('suspended').waitFor();
      return user(page, username).isDisabled();
    },
    cancel: (page) => page.getByRole('button', { name: 'Deny the sign-in' }).click(),
    canceled: 'the user denied the sign-in',
  };
}

async function provider(more) {
  const env = await environment(more);
  const endpoint = `http://localhost:${env.SIGN_IN_PORT}`;
  const page = `http://localhost:${env.PAGE_PORT}`;
  const signingKey = randomBytes(24).toString('base64url');
  const values = { endpoint, resource: 'https://api.example.com', clientId: 'fullstack-example' };
  const signIn = await startProvider({
    ...values,
    port: Number(env.SIGN_IN_PORT),
    page,
    webhook: { url: `http://localhost:${env.API_PORT}/logto/webhook`, signingKey },
  });
  let system;
  try {
    system = await start({
      env: {
        ...env,
        LOGTO_ENDPOINT: endpoint,
        LOGTO_JWKS_URI: `${endpoint}/oidc/jwks`,
        LOGTO_AUDIENCE: values.resource,
        LOGTO_CLIENT_ID: values.clientId,
        LOGTO_SIGNING_KEY: signingKey,
      },
    });
  } catch (error) {
    await signIn.stop();
    throw error;
  }
  const fill = async (page, username) => {
    await page.getByLabel('Username').fill(username);
    await page.getByLabel('Password').fill(username);
    await page.getByRole('button', { name: 'Sign in' }).click();
  };
  return {
    system,
    logto: {
      ...signIn,
      lifetime: async (seconds) => void (signIn.accessTokenTTL = seconds),
      failTokens: async (status) => void (signIn.tokenStatus = status),
      setPassword: (username) => signIn.setPassword(username, username),
      keysServedAt: async () => signIn.keysServedAt,
    },
    async stop() {
      await system.stop();
      await signIn.stop();
    },
    asks: (page) => page.getByLabel('Password').waitFor(),
    choose: fill,
    async chooseByKeyboard(page, username) {
      await page.getByLabel('Username').waitFor();
      await page.keyboard.type(username); // the field has the focus
      await page.keyboard.press('Tab');
      await page.keyboard.type(username);
      await page.keyboard.press('Enter');
    },
    async refuses(page, username) {
      await fill(page, username);
      await page.getByRole('alert').getByText('This account is suspended.').waitFor();
      return true;
    },
    cancel: (page) => page.getByRole('button', { name: 'Cancel' }).click(),
    canceled: 'The sign-in was cancelled.',
  };
}
