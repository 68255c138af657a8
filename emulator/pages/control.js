// The control page. What comes from the emulator is only ever put into text nodes and
// attributes: names of users may have markup in them.
const base = new URL('control/', document.baseURI);
const opened = new Set();
const $ = (id) => document.getElementById(id);
let state;

function say(text, good) {
  $('said').textContent = text;
  $('said').className = good ? 'good' : 'bad';
}

async function call(path, options) {
  const response = await fetch(new URL(path, base), options);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error ?? response.status);
  return body;
}

async function act(action, args) {
  try {
    const got = await call(action, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(args) });
    say(`${action}: done${got.ok ? '' : ' ' + JSON.stringify(got)}`, true);
  } catch (error) {
    say(`${action}: ${error.message}`, false);
  }
  await show();
}

function el(tag, props, ...children) {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children.filter((c) => c !== undefined && c !== null));
  return e;
}

const button = (text, action, args) => el('button', { type: 'button', textContent: text, onclick: () => act(action, args) });
const code = (text) => el('code', { textContent: text ?? '' });

function table(id, heads, rows) {
  const empty = el('tr', {}, el('td', { colSpan: heads.length, textContent: 'none' }));
  $(id).replaceChildren(
    el('thead', {}, el('tr', {}, ...heads.map((h) => el('th', { textContent: h })))),
    el('tbody', {}, ...(rows.length ? rows.map((cells) => el('tr', {}, ...cells.map((c) => el('td', {}, c ?? '')))) : [empty])),
  );
}

// details stay open while the page is shown anew.
function details(key, summary, ...children) {
  const e = el('details', { open: opened.has(key) }, el('summary', {}, summary), ...children);
  e.ontoggle = () => (e.open ? opened.add(key) : opened.delete(key));
  return e;
}

const pre = (value) => el('pre', { textContent: typeof value === 'string' ? value : JSON.stringify(value, null, 2) });
const time = (text) => new Date(text).toLocaleTimeString();
const group = (...parts) => { const s = el('span', {}); s.append(...parts.flatMap((p) => [p, ' '])); return s; };

function draw() {
  const { tenant } = state;
  $('where').replaceChildren('Endpoint ', code(state.endpoint), ' · issuer ', code(state.issuer), ` · its clock says ${new Date(state.now).toLocaleString()} · ${state.sessions} sessions, ${state.grants} grants`,
    state.problem ? el('strong', { className: 'bad', textContent: ` · the file is not taken: ${state.problem}` }) : '');
  table('users', ['User', 'Roles', 'In', ''], (tenant.users ?? []).map((u) => [
    group(el('strong', { textContent: u.name || u.id }), code(u.id), u.primaryEmail ?? '', u.isSuspended ? el('span', { className: 'bad', textContent: 'suspended' }) : ''),
    (u.roles ?? []).join(', '),
    (tenant.organizations ?? []).filter((o) => (o.users ?? []).some((m) => m.id === u.id)).map((o) => o.id).join(', '),
    group(u.isSuspended ? button('Unsuspend', 'unsuspend', { user: u.id }) : button('Suspend', 'suspend', { user: u.id }),
      button('New password', 'set-password', { user: u.id }), button('Revoke grants', 'revoke', { user: u.id }), button('Delete', 'delete-user', { user: u.id })),
  ]));
  table('organizations', ['Organization', 'Members', ''], (tenant.organizations ?? []).map((o) => [
    group(el('strong', { textContent: o.name || o.id }), code(o.id)),
    el('div', {}, ...[['user', o.users], ['application', o.applications]].flatMap(([kind, members]) => (members ?? []).map((m) =>
      el('div', {}, group(code(m.id), (m.organizationRoles ?? []).join(', '), button(`Remove ${m.id}`, 'remove-member', { organization: o.id, [kind]: m.id })))))),
    button(`Delete ${o.id}`, 'delete-organization', { organization: o.id }),
  ]));
  table('keys', ['Key', 'Algorithm', 'Status'], state.keys.map((k) => [code(k.id), k.algorithm, k.status]));
  const faults = state.faults ?? [];
  table('faults', ['Where', 'What', ''], faults.map((f, i) => [
    f.at || 'everywhere', `${f.do}${f.do === 'fail' ? ' ' + f.status : ''}${f.do === 'slow' ? ' ' + f.seconds + ' s' : ''}${f.times ? ', ' + f.times + ' times' : ''}`,
    button('Mend', 'faults', { faults: faults.filter((_, j) => j !== i) }),
  ]));
  $('clock').textContent = state.clock ? `off by ${state.clock} s` : 'right';
  table('tokens', ['Token', 'For', 'Verdict'], state.tokens.toReversed().map((t) => [
    details(`token ${t.id}`, `${time(t.time)} ${t.kind}`, pre(t.header), pre(t.claims), pre(t.token)),
    group(t.claims.sub, '→', code(t.claims.aud)),
    !t.verdict ? '' : t.verdict.accepted ? el('span', { className: 'good', textContent: 'accepted' })
      : group(el('span', { className: 'bad', textContent: t.verdict.reason || 'refused' }), t.verdict.text, t.verdict.remedy ?? ''),
  ]));
  table('deliveries', ['Event', 'To', 'Answer', ''], (state.deliveries ?? []).toReversed().map((d) => [
    d.body ? details(`delivery ${d.id}`, `${time(d.time)} ${d.event}`, pre(d.body)) : `${time(d.time)} ${d.event}`,
    group(d.to, code(d.url)),
    group(el('span', { className: d.status >= 200 && d.status < 300 ? 'good' : 'bad', textContent: d.status || (d.done ? 'not delivered' : 'waiting') }), d.attempts > 1 ? `${d.attempts} attempts` : '', d.problem ?? ''),
    d.body ? button('Resend', 'resend', { id: d.id }) : '',
  ]));
  table('calls', ['Time', 'Endpoint', 'Application', 'Status', ''], (state.calls ?? []).toReversed().map((c) => [
    time(c.time), `${c.method} ${c.endpoint}`, c.client ?? '', el('span', { className: c.status >= 200 && c.status < 400 ? 'good' : 'bad', textContent: c.status || 'none' }), c.note ?? '',
  ]));
}

function loadTenant() {
  $('tenant').value = JSON.stringify(state.tenant, null, 2);
}

let shown = '';
async function show() {
  try {
    state = await call(`state?audience=${encodeURIComponent($('audience').value)}`);
  } catch (error) {
    say(`The emulator doesn’t answer: ${error.message}`, false);
    return;
  }
  if (!$('audience').value) $('audience').value = state.audience;
  const { now, ...rest } = state;
  const text = JSON.stringify(rest);
  if (text !== shown) draw(); // what has the focus keeps it while nothing changes
  shown = text;
}

const blank = (value) => value === '' || value === undefined;

document.addEventListener('click', (event) => {
  const pressed = event.target.closest('button[data-action]');
  if (!pressed || (pressed.dataset.ask && !confirm(pressed.dataset.ask))) return;
  act(pressed.dataset.action, JSON.parse(pressed.dataset.args ?? '{}')).then(() => pressed.dataset.action === 'reset' && loadTenant());
});

for (const form of document.querySelectorAll('form[data-action]')) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const args = {};
    for (const input of form.querySelectorAll('input')) {
      if (blank(input.value)) continue;
      args[input.name] = input.type === 'number' ? Number(input.value)
        : 'list' in input.dataset ? input.value.split(/[ ,]+/).filter(Boolean) : input.value;
    }
    act(form.dataset.action, args);
  });
}

$('fault').addEventListener('submit', (event) => {
  event.preventDefault();
  const data = new FormData(event.target);
  const fault = { at: data.get('at'), do: data.get('do') };
  for (const name of ['status', 'seconds', 'times']) if (!blank(data.get(name))) fault[name] = Number(data.get(name));
  act('faults', { faults: [...(state.faults ?? []), fault] });
});

// What has no button of its own: the action's arguments as JSON, as by HTTP.
const any = $('any');
const suggest = () => { any.elements.args.value = any.elements.action.selectedOptions[0].dataset.args; };
any.elements.action.addEventListener('change', suggest);
suggest(); // a reload keeps the choice
any.addEventListener('submit', (event) => {
  event.preventDefault();
  try {
    act(any.elements.action.value, JSON.parse(any.elements.args.value || '{}'));
  } catch (error) {
    say(`The arguments are no JSON: ${error.message}`, false);
  }
});

$('save').addEventListener('click', () => {
  try {
    act('tenant', JSON.parse($('tenant').value));
  } catch (error) {
    say(`The description is no JSON: ${error.message}`, false);
  }
});
$('load').addEventListener('click', loadTenant);
$('audience').addEventListener('change', show);

await show();
if (state) {
  loadTenant();
  say('Ready.', true);
}
setInterval(show, 2000);
