// The local sign-in: npm oidc-provider, the engine inside Logto, set up so that
// the unmodified @logto/react takes it for Logto. It is for this machine only:
// its accounts and their passwords are below.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { errors, Provider } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';
import { errorPage, signInPage, signOutPage } from './pages.js';

// User IDs look like Logto's. The scopes are what the user's roles grant.
const accounts = [
  { username: 'alice', password: 'alice', id: 'k3v9d0alice1', name: 'Alice', scopes: [] },
  { username: 'martha', password: 'martha', id: 'm4n7martha02', name: 'Martha', scopes: ['read:reports'] },
];

// All permissions of the API resource. What a user has not is dropped silently
// from the token, as Logto does.
const resourceScopes = ['read:reports'];

const mount = '/oidc';
const hour = 3600;

// startSignIn listens on a loopback port. What it returns can rotate the keys,
// go down and come back: for the end-to-end test.
export async function startSignIn({ endpoint, port, page, resource, clientId }) {
  let keys = [newKey()];
  let server;
  const cookieKeys = [randomBytes(32).toString('hex')];
  const adapter = createMemoryAdapter();

  const signIn = {
    accounts,
    accessTokenTTL: hour,
    keysServedAt: 0, // ms; when the key set was fetched last

    // As Logto rotates: the new key signs at once, the one before stays published.
    rotate() {
      keys = [newKey(), keys[0]];
      provider = newProvider();
    },
    async start() {
      server = createServer(handle);
      await new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', resolve);
      });
    },
    async stop() {
      if (!server?.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };

  function newProvider() {
    const p = new Provider(`${endpoint}${mount}`, {
      adapter,
      jwks: { keys },
      cookies: { keys: cookieKeys },
      scopes: ['openid', 'offline_access', 'profile'],
      claims: { openid: ['sub'], profile: ['name', 'username'] },
      conformIdTokenClaims: false, // claims of the profile in the ID token
      clientBasedCORS: (_ctx, origin) => origin === page,
      clients: [
        {
          client_id: clientId,
          redirect_uris: [`${page}/callback`],
          post_logout_redirect_uris: [`${page}/`],
          grant_types: ['authorization_code', 'refresh_token'],
          response_types: ['code'],
          token_endpoint_auth_method: 'none',
          id_token_signed_response_alg: 'ES384',
        },
      ],
      enabledJWA: { idTokenSigningAlgValues: ['ES384'] },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: false },
        dPoP: { enabled: false },
        introspection: { enabled: false },
        revocation: { enabled: true, allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId },
        rpInitiatedLogout: { enabled: true, logoutSource: (ctx, form) => void (ctx.body = signOutPage(form)) },
        resourceIndicators: {
          enabled: true,
          // Without a resource in the token request, the token is opaque.
          defaultResource: () => undefined,
          useGrantedResource: () => false,
          getResourceServerInfo: (_ctx, indicator) => {
            if (indicator !== resource) throw new errors.InvalidTarget();
            return {
              scope: resourceScopes.join(' '),
              audience: resource,
              accessTokenFormat: 'jwt',
              accessTokenTTL: signIn.accessTokenTTL,
              jwt: { sign: { alg: 'ES384' } },
            };
          },
        },
      },
      // A user without permissions has an empty scope in the token, not none.
      formats: { customizers: { jwt: (_ctx, _token, { payload }) => void (payload.scope ??= '') } },
      findAccount: (_ctx, id) => {
        const account = accounts.find((one) => one.id === id);
        return account && { accountId: id, claims: () => ({ sub: id, name: account.name, username: account.username }) };
      },
      interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
      renderError: (ctx, out) => {
        ctx.type = 'html';
        ctx.body = errorPage(out.error_description ?? out.error, page);
      },
      ttl: {
        AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? hour,
        AuthorizationCode: 60,
        IdToken: hour,
        Interaction: hour,
        Grant: 14 * 24 * hour,
        RefreshToken: 14 * 24 * hour,
        Session: 14 * 24 * hour,
      },
    });
    p.on('server_error', (_ctx, error) => console.error('sign-in:', error));
    return p;
  }
  let provider = newProvider();

  function handle(req, res) {
    const [pathname] = req.url.split('?');
    if (pathname.startsWith(`${mount}/`)) {
      if (pathname === `${mount}/jwks`) signIn.keysServedAt = Date.now();
      req.originalUrl = req.url;
      req.url = req.url.slice(mount.length);
      provider.callback()(req, res);
      return;
    }
    if (pathname.startsWith('/sign-in/')) {
      interact(req, res).catch((error) => {
        console.error('sign-in:', error.message);
        html(res, 400, errorPage('This sign-in has expired or was begun in another window.', page));
      });
      return;
    }
    html(res, 404, errorPage('There is nothing here.', page));
  }

  // interact shows the form, takes what was typed, and gives consent without
  // asking, as Logto does for applications of the tenant itself.
  async function interact(req, res) {
    const { uid, prompt, params, session, grantId } = await provider.interactionDetails(req, res);
    if (prompt.name === 'consent') {
      const grant = (grantId && (await provider.Grant.find(grantId)))
        || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      grant.addOIDCScope('openid offline_access profile');
      const granted = accounts.find((one) => one.id === session.accountId)?.scopes ?? [];
      grant.addResourceScope(resource, granted.join(' '));
      grant.rejectResourceScope(resource, resourceScopes.filter((scope) => !granted.includes(scope)).join(' '));
      return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
    }
    if (req.method !== 'POST') {
      return html(res, 200, signInPage({ action: `/sign-in/${uid}`, accounts }), page);
    }
    const form = new URLSearchParams(await body(req));
    if (form.has('cancel')) {
      return provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'The sign-in was cancelled.' });
    }
    const username = form.get('username')?.trim() ?? '';
    const account = accounts.find((one) => one.username === username && one.password === form.get('password'));
    if (!account) {
      return html(res, 401, signInPage({ action: `/sign-in/${uid}`, accounts, username, failed: true }), page);
    }
    return provider.interactionFinished(req, res, { login: { accountId: account.id } });
  }

  await signIn.start();
  return signIn;
}

function newKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES384' };
}

async function body(req) {
  let text = '';
  for await (const chunk of req) {
    text += chunk;
    if (text.length > 10_000) throw new Error('form too long');
  }
  return text;
}

// page is the origin that the form's answer may redirect to.
function html(res, status, text, page = '') {
  res.writeHead(status, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': `default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self' ${page}; frame-ancestors 'none'; base-uri 'none'`,
  });
  res.end(text);
}
