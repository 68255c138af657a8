// The webhooks that Logto 1.42 sends of a user, as recorded from one: body, header,
// signature. Like Logto's they are sent once.
import { createHmac, randomBytes } from 'node:crypto';

const hookId = randomBytes(10).toString('hex');

// sendWebhook tells url what was done to an account by the Management API's route
// /users/:userId/{route}, and waits for the answer.
export async function sendWebhook({ url, signingKey }, event, route, account) {
  const body = JSON.stringify({
    event,
    createdAt: new Date().toISOString(),
    userAgent: 'oidc-provider',
    ip: '::ffff:127.0.0.1',
    path: `/users/${account.id}/${route}`,
    method: 'PATCH',
    status: 200,
    params: { userId: account.id },
    matchedRoute: `/users/:userId/${route}`,
    data: {
      id: account.id,
      username: account.username,
      primaryEmail: null,
      primaryPhone: null,
      name: account.name,
      avatar: null,
      customData: {},
      identities: {},
      lastSignInAt: null,
      createdAt: account.createdAt,
      updatedAt: account.updatedAt,
      profile: {},
      applicationId: null,
      cimdClientId: null,
      isSuspended: account.suspended,
      hasPassword: true,
    },
    hookId,
  });
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      // Over the bytes of the body, as they are sent.
      'logto-signature-sha-256': createHmac('sha256', signingKey).update(body).digest('hex'),
    },
    body,
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok) throw new Error(`the webhook was answered with ${response.status}`);
}
