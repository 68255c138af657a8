// The provider's pages, in the style of the example's page.
import { readFileSync } from 'node:fs';

const style = readFileSync(new URL('../../web/src/style.css', import.meta.url), 'utf8');

// failure is why the form is shown again.
export function signInPage({ action, accounts, username = '', failure = '' }) {
  const invalid = failure ? ' aria-invalid="true" aria-describedby="failure"' : '';
  return document('Sign in', `
    <h1>Sign in</h1>
    <p class="quiet">oidc-provider, for the tests of this example.</p>
    ${failure && `<p class="answer bad" id="failure" role="alert">${escape(failure)}</p>`}
    <form method="post" action="${escape(action)}">
      <label for="username">Username</label>
      <input id="username" name="username" value="${escape(username)}" autocomplete="username" autocapitalize="none" spellcheck="false" required${failure ? '' : ' autofocus'}${invalid}>
      <label for="password">Password</label>
      <input id="password" name="password" type="password" autocomplete="current-password" required${failure ? ' autofocus' : ''}${invalid}>
      <div class="row">
        <button class="primary">Sign in</button>
        <button name="cancel" value="yes" formnovalidate>Cancel</button>
      </div>
    </form>
    <h2>Accounts</h2>
    <table>
      <thead><tr><th scope="col">Username</th><th scope="col">Password</th><th scope="col">Permissions</th></tr></thead>
      <tbody>${accounts.map((one) => `
        <tr><td>${escape(one.username)}</td><td>${escape(one.password)}</td><td>${one.scopes.map((scope) => `<code>${escape(scope)}</code>`).join(' ') || 'none'}</td></tr>`).join('')}
      </tbody>
    </table>`);
}

// form has the hidden members; it submits itself, as Logto's does.
export function signOutPage(form) {
  return document('Signing out', `
    <h1>Signing out…</h1>
    ${form}
    <button class="primary" form="op.logoutForm" name="logout" value="yes" autofocus>Sign out</button>
    <script>document.querySelector('button').click()</script>`);
}

export function errorPage(text, page) {
  return document('Sign-in failed', `
    <h1>Sign-in failed</h1>
    <p class="answer bad" role="alert">${escape(text)}</p>
    <p><a href="${escape(page)}/">Back to the start</a></p>`);
}

function document(title, content) {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${title} – oidc-provider</title>
  <link rel="icon" href="data:,">
  <style>${style}</style>
</head>
<body>
  <main class="narrow card">${content}
  </main>
</body>
</html>
`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
