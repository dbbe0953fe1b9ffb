// An authorization server on 127.0.0.1, for tests: oidc-provider with a sign-in and a consent page of its own.
//
// The first line of standard input is the configuration, as JSON:
//   registration_token  bearer token of dynamic client registration (RFC 7591)
//   accounts            {"login": "password"}; the login is the subject
//   scopes              beyond those of OpenID Connect
//   resources           {"https://api.example/": "scope scope"} (RFC 8707)
//   access_seconds, refresh_seconds   how long tokens live
//   rotation            "always", or "default" for what the library does by itself
//   refresh_tokens      "offline_access" (OpenID Connect Core §11), or "always"
// The one line of standard output is {"issuer": ...}, once the server listens. GET /requests lists what the provider
// answered, refresh tokens by their digest alone. The server ends when standard input does.
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

globalThis.crypto ??= webcrypto; // Node 18 has it under this name only

const { Provider } = await import('oidc-provider');

const digest = (text) => (text ? createHash('sha256').update(text).digest('hex') : undefined);
const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const list = (words) => (words ? words.split(' ').filter(Boolean) : []);

const page = (body) => `<!doctype html><html lang="en"><title>Interop</title><body>${body}</body></html>`;

const signInPage = (uid) => page(`<form method="post" action="/interaction/${uid}/sign-in">
<input name="login"><input name="password" type="password"><button>Sign in</button></form>`);

const consentPage = (uid, scopes) => page(`<form method="post" action="/interaction/${uid}/consent">
${scopes.map((s) => `<input type="checkbox" name="scope" value="${escape(s)}" checked>`).join('\n')}
<button name="answer" value="allow">Allow</button><button name="answer" value="deny">Deny</button></form>`);

async function form(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

function configuration(config) {
  return {
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    cookies: { keys: [randomBytes(32).toString('hex')] },
    scopes: ['openid', 'offline_access', ...(config.scopes ?? [])],
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'] },
    pkce: { required: () => true },
    rotateRefreshToken: config.rotation === 'default' ? undefined : true,
    ...(config.refresh_tokens === 'always' && {
      issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    }),
    ttl: {
      AccessToken: config.access_seconds,
      ClientCredentials: config.access_seconds,
      RefreshToken: config.refresh_seconds,
      AuthorizationCode: 60,
      IdToken: 60,
      Interaction: 600,
      Session: 3600,
      Grant: config.refresh_seconds,
    },
    findAccount: async (ctx, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, name: `Person ${id}`, preferred_username: id }),
    }),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: async (ctx, client, token) => token.clientId === client.clientId },
      revocation: { enabled: true, allowedPolicy: async (ctx, client, token) => token.clientId === client.clientId },
      registration: { enabled: true, initialAccessToken: config.registration_token },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (ctx, resource) => {
          const scope = config.resources?.[resource];
          if (scope === undefined) {
            const error = new Error('unknown resource');
            throw Object.assign(error, { statusCode: 400, expose: true, error: 'invalid_target' });
          }
          return { scope, audience: resource, accessTokenFormat: 'opaque', accessTokenTTL: config.access_seconds };
        },
      },
    },
  };
}

// consent makes the grant of what stays ticked; the rest of the scopes asked for is refused, not left open.
async function consent(provider, details, chosen) {
  const grant = details.grantId
    ? await provider.Grant.find(details.grantId)
    : new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = details.prompt.details;
  for (const scope of missingOIDCScope ?? []) {
    if (chosen.includes(scope)) grant.addOIDCScope(scope);
    else grant.rejectOIDCScope(scope);
  }
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
    for (const scope of scopes) {
      if (chosen.includes(scope)) grant.addResourceScope(resource, scope);
      else grant.rejectResourceScope(resource, scope);
    }
  }
  return grant.save();
}

async function interact(provider, config, request, response) {
  const [, , uid, step] = new URL(request.url, 'http://localhost').pathname.split('/');
  const details = await provider.interactionDetails(request, response);
  if (request.method === 'GET') {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(details.prompt.name === 'login' ? signInPage(uid) : consentPage(uid, list(details.params.scope)));
    return;
  }
  const answer = await form(request);
  let result;
  if (step === 'sign-in') {
    const login = answer.get('login');
    if (!config.accounts[login] || config.accounts[login] !== answer.get('password')) {
      response.statusCode = 403;
      response.end(page('Wrong name or password.'));
      return;
    }
    result = { login: { accountId: login } };
  } else if (answer.get('answer') === 'allow') {
    result = { consent: { grantId: await consent(provider, details, answer.getAll('scope')) } };
  } else {
    result = { error: 'access_denied', error_description: 'The person said no' };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: step !== 'sign-in' });
}

// record returns middleware that notes every request which the provider answered.
const record = (requests) => async (ctx, next) => {
  await next();
  const params = ctx.oidc?.params ?? {};
  requests.push({
    path: ctx.path,
    status: ctx.status,
    grant_type: params.grant_type,
    refresh_token: digest(params.refresh_token),
    code_challenge_method: params.code_challenge_method,
    error: ctx.body?.error,
  });
};

async function serve(config) {
  const server = createServer();
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration(config));
  const requests = [];
  provider.use(record(requests));
  provider.on('server_error', (ctx, error) => process.stderr.write(`${error.stack}\n`));
  const callback = provider.callback();
  server.on('request', (request, response) => {
    if (request.url === '/requests') {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(requests));
      return;
    }
    if (!request.url.startsWith('/interaction/')) {
      callback(request, response);
      return;
    }
    interact(provider, config, request, response).catch((error) => {
      response.statusCode = 500;
      response.end(page(escape(error.message)));
    });
  });
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => serve(JSON.parse(line)));
lines.once('close', () => process.exit(0));
