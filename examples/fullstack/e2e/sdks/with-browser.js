// @logto/browser, without a framework.
import LogtoClient from '@logto/browser';

const { endpoint, resource, clientId, api } = __SETTINGS__;
const logto = new LogtoClient({ endpoint, appId: clientId, resources: [resource], scopes: ['read:reports'] });
const root = document.getElementById('root');

if (location.pathname === '/callback') {
  await logto.handleSignInCallback(location.href);
  location.replace('/');
} else if (!(await logto.isAuthenticated())) {
  button('Sign in', () => logto.signIn(`${location.origin}/callback`));
} else {
  const { sub } = await logto.getIdTokenClaims();
  root.append(`Signed in as ${sub}`);
  button('Call', async () => {
    const token = await logto.getAccessToken(resource);
    const response = await fetch(`${api}/api/reports`, { headers: { Authorization: `Bearer ${token}` } });
    say(`${response.status} ${await response.text()}`);
  });
  button('Who', async () => say((await logto.fetchUserInfo()).username));
  button('Sign out', () => logto.signOut(`${location.origin}/`));
}

function button(text, onclick) {
  root.append(Object.assign(document.createElement('button'), { textContent: text, onclick }));
}
function say(text) {
  root.append(Object.assign(document.createElement('output'), { textContent: text }));
}
